"""Coherence: whether distant windows of a panorama have one appearance.

There are two distances between windows: of their palettes and of their textures. Neither depends on what a window shows
or where, and neither needs a network.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from ..canvas.windows import NO_WRAP, Size, Window, Wrap, crop

Pair = tuple[Window, Window]

STYLE_LEVELS = 4  # resolutions at which textures are compared


def pairs_apart(windows: Sequence[Window], canvas: Size, wrap: Wrap = NO_WRAP) -> list[Pair]:
    """The pairs of windows that neither overlap nor touch, also not across a wrapping edge.

    Both windows are in one row, or in one column if there are more rows than columns: the upper and the lower part of a
    picture may look different.
    """
    columns, rows = {window.left for window in windows}, {window.top for window in windows}
    along, across = (1, 0) if len(columns) >= len(rows) else (0, 1)  # of (y, x)

    def apart(one: Window, other: Window) -> bool:
        first, second = sorted((one[along], other[along]))
        length = (one.height, one.width)[along]
        around = not wrap[along] or first + canvas[along] - second > length
        return one[across] == other[across] and second - first > length and around

    return [pair for pair in combinations(windows, 2) if apart(*pair)]


def palette(images: Tensor) -> Tensor:
    """The palette of pictures (..., C, H, W): mean and standard deviation of each channel, (..., 2 C)."""
    return torch.cat([images.mean(dim=(-2, -1)), images.std(dim=(-2, -1))], dim=-1)


def palette_distance(image: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Euclidean distance between the `palette` of two windows, averaged over the pairs: (B,), 0 to about 1.

    Args:
        image: (B, C, H, W) in [0, 1].
        pairs: windows in pixels, of one size, as from `pairs_apart`; the result is 0 if there are none.
    """
    return _mean_over_pairs(image, pairs, palette, relative=False)


def style_distance(image: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Distance between the textures of two windows, averaged over the pairs: (B,), 0 (equal) to 2.

    It is a style loss (Gatys et al. 2016) without a network. The features are the colour steps from pixel to pixel, to
    the right and down, at full, half, quarter and eighth resolution. The distance of two Gram matrices is the norm of
    their difference divided by the mean of their norms, averaged over resolutions. The palette does not matter.
    Arguments as in `palette_distance`.

    Raises:
        ValueError: windows below 16 x 16 pixels: they have no texture at an eighth of the resolution.
    """
    least = 2**STYLE_LEVELS
    for window in {window for pair in pairs for window in pair}:
        if min(window.height, window.width) < least:
            raise ValueError(
                f"window: must be at least {least} x {least} pixels to have a texture, got {window.width} x "
                f"{window.height}; use larger windows."
            )
    distances = [_mean_over_pairs(image, pairs, partial(_gram, level), relative=True) for level in range(STYLE_LEVELS)]
    return torch.stack(distances).mean(dim=0)


def _gram(level: int, view: Tensor) -> Tensor:
    """(B, C, h, w) to the Gram matrix of its colour steps at 1 / 2^level of the resolution, (B, 4 C^2)."""
    view = nn.functional.avg_pool2d(view, 2**level)
    steps = torch.cat([view.diff(dim=-1)[..., :-1, :], view.diff(dim=-2)[..., :-1]], dim=1).flatten(2)
    return (steps @ steps.transpose(1, 2) / steps.shape[2]).flatten(1)


def _mean_over_pairs(
    image: Tensor, pairs: Sequence[Pair], features: Callable[[Tensor], Tensor], relative: bool
) -> Tensor:
    """(B,): the distance of the (B, D) features of two windows, averaged; `relative` to the mean of their norms."""
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    if not pairs:
        return torch.zeros_like(image[:, 0, 0, 0])
    index = {window: i for i, window in enumerate(dict.fromkeys(window for pair in pairs for window in pair))}
    all_features = torch.stack([features(crop(image, window)) for window in index])
    one, other = (all_features[[index[window] for window in side]] for side in zip(*pairs, strict=True))
    distance = _norm(one - other)
    if relative:
        distance = 2 * distance / (_norm(one) + _norm(other)).clamp(min=1e-12)
    return distance.mean(dim=0)


def _norm(features: Tensor) -> Tensor:
    return features.square().sum(dim=-1).sqrt()

"""Coherence: do distant windows of a panorama look like parts of one picture?

Two distances between windows: of their palettes, and of their textures. Neither knows what a window shows, or where in
it, and neither needs a network.
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
    """Those pairs of windows that neither overlap nor touch; around a loop neither way.

    Only windows of one row are compared, or of one column where there are more rows than columns: the upper part of a
    picture shows other things than the lower one, and may.
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
    """How much the palette changes from window to window: (B,), in RGB units, 0 (the same everywhere) to about 1.

    The Euclidean distance of the `palette` of two windows, averaged over the pairs.

    Args:
        image: (B, C, H, W) in [0, 1].
        pairs: windows in pixels, of one size, as from `pairs_apart`; without any, the distance is 0.
    """
    return _mean_over_pairs(image, pairs, palette, relative=False)


def style_distance(image: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """How much the texture changes from window to window: (B,), 0 (the same everywhere) to 2.

    A style loss (Gatys et al. 2016) without a network: in place of its feature maps stand the steps of colour from
    pixel to pixel, to the right and down, of the picture at full, half, quarter and eighth resolution. Compared are
    the Gram matrices of two windows, by the norm of their difference over the mean of their norms; averaged over
    resolutions and pairs. The palette has no part in it. Arguments as in `palette_distance`.

    Raises:
        ValueError: windows below 16 x 16 pixels, which have no texture at an eighth of the resolution.
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
    """(B, C, h, w) to the second moments of its steps at 1 / 2^level of the resolution, (B, 4 C^2)."""
    view = nn.functional.avg_pool2d(view, 2**level)
    steps = torch.cat([view.diff(dim=-1)[..., :-1, :], view.diff(dim=-2)[..., :-1]], dim=1).flatten(2)
    return (steps @ steps.transpose(1, 2) / steps.shape[2]).flatten(1)


def _mean_over_pairs(
    image: Tensor, pairs: Sequence[Pair], features: Callable[[Tensor], Tensor], relative: bool
) -> Tensor:
    """The mean distance of the (B, D) features of two windows, or that over the mean of their norms: (B,)."""
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    if not pairs:
        return torch.zeros_like(image[:, 0, 0, 0])
    place = {window: index for index, window in enumerate(dict.fromkeys(window for pair in pairs for window in pair))}
    known = torch.stack([features(crop(image, window)) for window in place])
    one, other = known[[place[pair[0]] for pair in pairs]], known[[place[pair[1]] for pair in pairs]]
    distance = _norm(one - other)
    if relative:
        distance = 2 * distance / (_norm(one) + _norm(other)).clamp(min=1e-12)
    return distance.mean(dim=0)


def _norm(features: Tensor) -> Tensor:
    return features.square().sum(dim=-1).sqrt()

"""Frames in a zoom: whether the next level stands in a level as a rectangle of another texture.

A level of a zoom shows the next level in its middle, made smaller. If the two were painted differently, the border
between them is seen: more or less contrast inside than outside, or other frequencies. Colours may agree all the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..canvas.windows import Window, canvas_size
from ..zoom.between_levels import level_span, render_frames, zoom_centre
from ..zoom.geometry import levels_nesting

BLURS = (1, 3, 7)  # pixels: the sides of the means between which the bands lie
STRIP = 16  # a strip beside the border is this part of the side of a level wide
LEAST = 0.5 / 255  # contrast that is not seen


def texture_ratios(levels: Tensor, zoom_factor: int, pixels_per_cell: int = 1) -> Tensor:
    """How much the contrast of textures changes across the border of the next level: (N - 1,), 1 is not at all.

    Args:
        levels: (N, C, H, W) pictures in [0, 1], the most zoomed out first.
        zoom_factor: p, between neighbouring levels, 2 or more.
        pixels_per_cell: as in `powers_of_ten.render_image`.
    """
    return _across(levels[:-1], levels_nesting(levels, zoom_factor, pixels_per_cell).outer)


def texture_ratios_between(
    levels: Tensor, zooms: Sequence[float], zoom_factor: int, pixels_per_cell: int = 1
) -> Tensor:
    """The same in frames of the video, as `zoom.between_levels.render_at` shows them: (M,).

    Args:
        levels, zoom_factor, pixels_per_cell: as in `texture_ratios`.
        zooms: M zooms in levels, 0..N - 1, no whole ones. So far from the next whole one that beside the next level a
            sixteenth of a side is left: at most 0.8 of a level further for p = 2, 0.9 for p = 4.

    Raises:
        ValueError: a zoom at which there is no room beside the next level.
    """
    size = canvas_size(levels)
    centre = zoom_centre(levels_nesting(levels, zoom_factor, pixels_per_cell), size, zoom_factor)
    ratios: list[Tensor] = []
    for zoom, frame in zip(zooms, render_frames(levels, zooms, zoom_factor, None, pixels_per_cell), strict=True):
        axes = [level_span(at, zoom_factor, zoom, int(zoom) + 1) for at in centre]
        (top, height), (left, width) = (
            (round(span.start * side), round(span.length * side)) for span, side in zip(axes, size, strict=True)
        )
        inner = Window(top, left, height, width)
        strip = max(side // STRIP for side in size)
        if min(top, left, size.height - top - height, size.width - left - width) < strip:
            raise ValueError(f"zooms: at {zoom} the next level leaves no {strip} pixels beside it; take less.")
        ratios.append(_across(frame[None], inner))
    return torch.cat(ratios)


def _across(pictures: Tensor, window: Window) -> Tensor:
    """How much the contrast of textures changes across the border of a window: (N,) of pictures (N, C, H, W) in [0, 1].

    Convention:
        - bands are differences of box blurs; contrast is the root mean square of a band in a strip
        - a strip is 1/16 of a side wide and lies along one of the four sides of the border, inside or outside of it
        - the result is the factor between inside and outside, greater or less, as a geometric mean over bands and sides
        - true zooms are above 1, because a landscape is not the same on both sides of a line
    """
    blurred = [_blur(pictures, size) for size in BLURS]
    logs: list[Tensor] = []
    for fine, coarse in pairwise(blurred):
        power = (fine - coarse).square().mean(dim=1)
        for inside, outside in _strips(power, window):
            logs.append(((inside + LEAST**2) / (outside + LEAST**2)).log() / 2)
    return torch.stack(logs).abs().mean(dim=0).exp()


def _strips(power: Tensor, window: Window) -> list[tuple[Tensor, Tensor]]:
    """The mean power (N,) inside and outside of each side of the window."""
    top, left, height, width = window
    pairs: list[tuple[Tensor, Tensor]] = []
    for image, start, length, across, extent in (
        (power, top, height, left, width),
        (power.transpose(1, 2), left, width, top, height),
    ):
        strip = max(image.shape[1] // STRIP, 1)
        for edge, inwards in ((start, 1), (start + length, -1)):
            inner, outer = sorted((edge, edge + inwards * strip)), sorted((edge, edge - inwards * strip))
            beside = image[:, :, across : across + extent]
            inside, outside = (beside[:, slice(*rows)].mean(dim=(1, 2)) for rows in (inner, outer))
            pairs.append((inside, outside))
    return pairs


def _blur(images: Tensor, size: int) -> Tensor:
    padded = nn.functional.pad(images, (size // 2,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, size, stride=1)

"""A zoom stack as a continuous picture: the frame at any zoom, also between the levels.

All levels share one fixed point, the zoom centre c. Positions are fractions of a side. At zoom z, level k begins at
c (1 - q) in the frame and has the length q = p^(z - k): 1 is the whole frame, 1 / p is the middle of the level before.
`web/between_levels.mjs` has the same formulas.
"""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..canvas.crop_resize import Sampling, crop_resize
from ..canvas.windows import Size, canvas_size
from .geometry import Nesting, levels_nesting
from .smoothstep import smoothstep

FADE = 0.5  # levels of zoom over which a finer level appears away from its border
FEATHER = 0.25  # largest width of the soft border, in sides of the finer level


class Centre(NamedTuple):
    """The fixed point of the zoom, in fractions of the height and the width."""

    y: float
    x: float


class Span(NamedTuple):
    """The part of an axis of the frame that a level fills, in fractions of the frame."""

    start: float
    length: float


def zoom_centre(nested: Nesting, size: Size, zoom_factor: int) -> Centre:
    """The fixed point of the map from each level to the next, y = outer.top + (y - inner.top) / p."""
    outer, inner = nested
    y = (zoom_factor * outer.top - inner.top) / (zoom_factor - 1)
    x = (zoom_factor * outer.left - inner.left) / (zoom_factor - 1)
    return Centre(y / size.height, x / size.width)


def level_span(centre: float, zoom_factor: int, zoom: float, level: int) -> Span:
    """The span of a level at a zoom, along one axis."""
    enlarged = zoom_factor ** (zoom - level)
    return Span(centre * (1 - enlarged), enlarged)


def appearance(zoom: float) -> float:
    """Opacity of the next level away from its border: 0 at a whole zoom, 1 from FADE levels later on."""
    return smoothstep(min((zoom % 1) / FADE, 1.0))


def borders(span: Span) -> tuple[float, float]:
    """Widths of the soft border at the start and at the end of a level, in fractions of the frame.

    The border is as wide as the distance of the level from the edge of the frame, at most FEATHER sides of the level.
    So a level that fills the frame has no border.
    """
    widest, end = FEATHER * span.length, 1 - span.start - span.length
    return min(max(span.start, 0.0), widest), min(max(end, 0.0), widest)


def render_at(
    levels: Tensor, zoom: float, zoom_factor: int, size: Size | None = None, pixels_per_cell: int = 1
) -> Tensor:
    """The frame of a zoom stack at `zoom`: level i at i, and at 1.5 half a level further in than level 1.

    It is the last level that covers the frame, enlarged, with the next level over its middle, downsampled without
    aliasing. The next level has a soft border and appears over the first FADE levels of zoom, so no change is sudden.

    Convention:
        - at zoom i the frame equals level i, up to rounding
        - a `size` of other proportions stretches the picture
        - cubic interpolation may exceed the range of the levels a little; values are not clamped

    Args:
        levels: (N, C, H, W), two or more, of any real dtype.
        zoom: 0..N - 1, in levels.
        zoom_factor: p, between neighbouring levels, 2 or more.
        size: of the frame; None is the size of the levels.
        pixels_per_cell: as in `nesting`.

    Returns:
        (C, height, width), float64 for levels of float64, else float32, in the units of the levels.

    Raises:
        ValueError: a zoom outside the stack, a size below 1, and as `levels_nesting`.
    """
    return next(render_frames(levels, [zoom], zoom_factor, size, pixels_per_cell))


def render_frames(
    levels: Tensor, zooms: Iterable[float], zoom_factor: int, size: Size | None = None, pixels_per_cell: int = 1
) -> Iterator[Tensor]:
    """`render_at` for many zooms. Only two levels at a time are kept in the layout of `crop_resize`, and no frame."""
    side = canvas_size(levels)
    centre = zoom_centre(levels_nesting(levels, zoom_factor, pixels_per_cell), side, zoom_factor)
    frame = side if size is None else size
    if min(frame) < 1:
        raise ValueError(f"size: a frame must be at least 1 x 1, got {frame.height} x {frame.width}.")
    dtype = torch.float64 if levels.dtype == torch.float64 else torch.float32

    @lru_cache(maxsize=2)
    def rows(level: int) -> Tensor:
        return levels[level].movedim(0, 1).to(dtype).contiguous()

    def placed(zoom: float, level: int) -> list[_Placed]:
        axes = zip(centre, side, frame, strict=True)
        return [_placed(level_span(at, zoom_factor, zoom, level), length, count) for at, length, count in axes]

    for zoom in zooms:
        if not 0 <= zoom <= len(levels) - 1:
            raise ValueError(f"zoom: must be in 0..{len(levels) - 1} for {len(levels)} levels, got {zoom}.")
        coarse = math.floor(zoom)
        y, x = placed(zoom, coarse)
        picture = crop_resize(rows(coarse), y.sampling, x.sampling)
        if zoom > coarse:
            finer = coarse + 1
            y, x = placed(zoom, finer)
            if min(y.sampling.outputs, x.sampling.outputs) > 0:  # otherwise it is smaller than a pixel of the frame
                opacity = appearance(zoom) * y.opacity[:, None, None] * x.opacity
                shown = crop_resize(rows(finer), y.sampling, x.sampling)
                picture[y.cells, :, x.cells].lerp_(shown, opacity.to(shown))
        yield picture.movedim(1, 0)


class _Placed(NamedTuple):
    """A level along one axis of the frame."""

    cells: slice  # cells of the frame whose centre the level covers
    sampling: Sampling  # where they lie on the level
    opacity: Tensor  # of each: 1 inside, falling to 0 over the soft borders


def _placed(span: Span, length: int, count: int) -> _Placed:
    """A level of `length` cells in a frame of `count`."""
    end, step = span.start + span.length, length / (span.length * count)
    first = max(math.ceil(span.start * count - 0.5), 0)
    last = min(math.floor(end * count - 0.5) + 1, count)
    cells = (torch.arange(first, last, dtype=torch.float64) + 0.5) / count
    opacity = torch.ones_like(cells)
    for distance, width in zip((cells - span.start, end - cells), borders(span), strict=True):
        if width > 0:
            opacity *= smoothstep((distance / width).clamp(0, 1))
    return _Placed(slice(first, last), Sampling((first - span.start * count) * step, step, last - first), opacity)

"""A zoom stack as one continuous picture: what is seen at any zoom, between the levels as well.

All levels share one fixed point, the zoom centre. In fractions of a side, with the centre at c: at zoom z, level k
fills the frame from c (1 - q) on for a length of q = p^(z - k); q = 1 is the whole frame, q = 1 / p the middle of the
level before it. `web/zoom_view.mjs` has the same formulas.
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

FADE = 0.5  # levels of zoom over which a finer level appears where it is not at its border
FEATHER = 0.25  # widest border over which it does, in sides of the finer level


class Centre(NamedTuple):
    """The point that stays where it is, in fractions of the height and the width."""

    y: float
    x: float


class Span(NamedTuple):
    """What a level fills of one axis of the frame, in fractions of the frame."""

    start: float
    length: float


def zoom_centre(nested: Nesting, size: Size, zoom_factor: int) -> Centre:
    """The fixed point of the map from each level to the next, y = outer.top + (y - inner.top) / p."""
    outer, inner = nested
    y, x = (
        (zoom_factor * outer.top - inner.top) / (zoom_factor - 1),
        (zoom_factor * outer.left - inner.left) / (zoom_factor - 1),
    )
    return Centre(y / size.height, x / size.width)


def level_span(centre: float, zoom_factor: int, zoom: float, level: int) -> Span:
    """Where a level lies in the frame at a zoom, along one axis."""
    enlarged = zoom_factor ** (zoom - level)
    return Span(centre * (1 - enlarged), enlarged)


def appearance(zoom: float) -> float:
    """How much of the next level is seen away from its border: none of it at a whole zoom, all of it FADE later."""
    return smoothstep(min((zoom % 1) / FADE, 1.0))


def borders(span: Span) -> tuple[float, float]:
    """Width of the soft border at the start and at the end of a level, in fractions of the frame.

    It is as wide as the level is away from the edge of the frame, so that none is left once the level fills the frame,
    but at most FEATHER sides of the level.
    """
    widest, end = FEATHER * span.length, 1 - span.start - span.length
    return min(max(span.start, 0.0), widest), min(max(end, 0.0), widest)


def render_at(
    levels: Tensor, zoom: float, zoom_factor: int, size: Size | None = None, pixels_per_cell: int = 1
) -> Tensor:
    """What a zoom stack shows at `zoom`: 0 is all of level 0, N - 1 all of level N - 1, 1.5 half a level after level 1.

    The last level that covers the frame, enlarged smoothly, and over its middle the next one, shrunk without aliasing.
    The finer one appears by place, over a soft border, and by scale, over the first FADE of a level, so that it takes
    over with no pop and no line.

    Convention:
        - at zoom i the frame equals level i, to rounding
        - a `size` of other proportions stretches the picture
        - cubic interpolation may run a little over the range of the levels; nothing is cut

    Args:
        levels: (N, C, H, W), two or more, of any real dtype.
        zoom: in 0..N - 1, in levels.
        zoom_factor: p, between the levels, 2 or more.
        size: of the frame; that of the levels if None.
        pixels_per_cell: cells that nest together, as in `nesting`.

    Returns:
        (C, height, width), float64 for levels of float64, else float32, in the units of the levels.

    Raises:
        ValueError: a zoom outside the stack, a size below 1, and as `levels_nesting`.
    """
    return next(render_frames(levels, [zoom], zoom_factor, size, pixels_per_cell))


def render_frames(
    levels: Tensor, zooms: Iterable[float], zoom_factor: int, size: Size | None = None, pixels_per_cell: int = 1
) -> Iterator[Tensor]:
    """`render_at` for one zoom after the other; keeps two levels in the layout that it computes in, and no frame."""
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
            if min(y.sampling.outputs, x.sampling.outputs) > 0:  # else it is smaller than a pixel of the frame
                opacity = appearance(zoom) * y.opacity[:, None, None] * x.opacity
                shown = crop_resize(rows(finer), y.sampling, x.sampling)
                picture[y.cells, :, x.cells].lerp_(shown, opacity.to(shown))
        yield picture.movedim(1, 0)


class _Placed(NamedTuple):
    """A level along one axis of the frame."""

    cells: slice  # of the frame, those whose centre it covers
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

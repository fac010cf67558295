"""Where one level of a zoom stack lies in the next: plain integers, exact for every size and zoom factor.

Level 0 is the most zoomed out; level i + 1 shows the centre of level i, p times larger, on a picture of the same size.
"""

from typing import NamedTuple

from torch import Tensor

from ..canvas.windows import Size, Window, canvas_size


class Nesting(NamedTuple):
    """Two blocks of cells that show the same part of the scene, on neighbouring levels of one size."""

    outer: Window  # on level i
    inner: Window  # on level i + 1, p times as high and wide: the whole level, except a rest of less than p cells


def nesting(size: Size, zoom_factor: int, pixels_per_cell: int = 1) -> Nesting:
    """Where level i + 1 lies in level i, and where level i in level i + 1.

    Convention:
        - the outer block is floor(H / p) x floor(W / p) and the inner block is p times as large. Both are in the
          middle, rounded up and left: p = 2 on 16 x 16 gives 8 x 8 at (4, 4) and 16 x 16 at (0, 0)
        - the edge y of a row of level i + 1 lies at outer.top + (y - inner.top) / p of level i; columns likewise
        - pixels nest like their latents: the blocks are those of the latents, multiplied by `pixels_per_cell`

    Args:
        size: height and width of every level, multiples of `pixels_per_cell`.
        zoom_factor: p, between neighbouring levels, 2 or more.
        pixels_per_cell: side of the blocks that are not divided; 1 for latents.

    Raises:
        ValueError: p below 2, a side that is no multiple of `pixels_per_cell`, or a side shorter than p blocks.
    """
    if zoom_factor < 2:
        raise ValueError(f"zoom_factor: must be at least 2, got {zoom_factor}.")
    if pixels_per_cell < 1:
        raise ValueError(f"pixels_per_cell: must be at least 1 cell, got {pixels_per_cell}.")
    top, height, inner_top = _nest("height", size.height, zoom_factor, pixels_per_cell)
    left, width, inner_left = _nest("width", size.width, zoom_factor, pixels_per_cell)
    return Nesting(
        Window(top, left, height, width), Window(inner_top, inner_left, zoom_factor * height, zoom_factor * width)
    )


def _nest(axis: str, length: int, zoom_factor: int, pixels_per_cell: int) -> tuple[int, int, int]:
    """Start of the outer block, its length, and start of the inner block, along one axis."""
    cells, rest = divmod(length, pixels_per_cell)
    if rest:
        raise ValueError(
            f"{axis}: must be a multiple of {pixels_per_cell}, got {length}; {length - rest} is the next below."
        )
    outer = cells // zoom_factor
    if outer < 1:
        raise ValueError(
            f"{axis}: a level must be at least zoom_factor = {zoom_factor} times {pixels_per_cell} cells, got "
            f"{length}; choose a larger level or a smaller zoom_factor."
        )
    starts = (cells - outer) // 2, (cells - zoom_factor * outer) // 2
    return starts[0] * pixels_per_cell, outer * pixels_per_cell, starts[1] * pixels_per_cell


def levels_nesting(levels: Tensor, zoom_factor: int, pixels_per_cell: int = 1) -> Nesting:
    """`nesting` of a stack (N, C, ..., H, W).

    Raises:
        ValueError: fewer than two levels, and as `nesting`.
    """
    if len(levels) < 2:
        raise ValueError(f"levels: a zoom stack has at least 2 levels, got {len(levels)}; add a prompt for each level.")
    return nesting(canvas_size(levels), zoom_factor, pixels_per_cell)


def footprints(size: Size, zoom_factor: int, pixels_per_cell: int = 1) -> tuple[Nesting, ...]:
    """The cells of the levels i - 1, i - 2, ... that lie completely inside level i, until there are none.

    Entry k is about level i - k - 1. Its `outer` are these cells on that level, and its `inner` the same area in the
    cells of entry k - 1 (for k = 0, in the cells of level i). Entry 0 is `nesting` itself. Example: p = 2 on 12 x 12
    has 6 x 6 cells, then 2 x 2 (not 3 x 3, which would start inside a cell), then none. Arguments and errors as in
    `nesting`.
    """
    first = nesting(size, zoom_factor, pixels_per_cell)
    found = [first]
    while True:
        area = found[-1].outer
        top, height = _whole_cells(area.top, area.height, first.inner.top, zoom_factor)
        left, width = _whole_cells(area.left, area.width, first.inner.left, zoom_factor)
        if height < 1 or width < 1:
            return tuple(found)
        inner = Window(
            first.inner.top + zoom_factor * top - area.top,
            first.inner.left + zoom_factor * left - area.left,
            zoom_factor * height,
            zoom_factor * width,
        )
        found.append(Nesting(Window(first.outer.top + top, first.outer.left + left, height, width), inner))


def _whole_cells(start: int, length: int, origin: int, zoom_factor: int) -> tuple[int, int]:
    """The first block of p cells within start..start + length, and how many there are; block 0 begins at `origin`."""
    first = -((origin - start) // zoom_factor)
    return first, (start + length - origin) // zoom_factor - first

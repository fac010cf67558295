"""Where one level of a zoom stack lies in the next: plain integers, exact for every size and zoom factor.

Level 0 is the most zoomed out; level i + 1 shows the centre of level i, p times larger, on a picture of the same size.
"""

from typing import NamedTuple

from torch import Tensor

from ..canvas.windows import Size, Window, canvas_size


class Nesting(NamedTuple):
    """Two blocks that show the same part of the scene, on neighbouring levels of one size."""

    outer: Window  # on level i
    inner: Window  # on level i + 1, p times as high and wide: all of it but a rest below p units


def nesting(size: Size, zoom_factor: int, pixels_per_cell: int = 1) -> Nesting:
    """Where level i + 1 lies in level i, and where level i in level i + 1.

    Convention:
        - the outer block is floor(H / p) x floor(W / p), the inner one p times that, both as near to the middle as
          whole cells allow (rounded up and left); p = 2 on 16 x 16 gives 8 x 8 at (4, 4) and 16 x 16 at (0, 0)
        - a row edge y of level i + 1 lies at outer.top + (y - inner.top) / p of level i, and columns likewise
        - with `pixels_per_cell` > 1 the blocks are those of the latent, multiplied: so pixels nest as its cells do

    Args:
        size: height and width of every level, multiples of `pixels_per_cell`.
        zoom_factor: p, between neighbouring levels, 2 or more.
        pixels_per_cell: smallest block that is not divided, in the cells of `size`.

    Raises:
        ValueError: p below 2, a side that is no multiple of `pixels_per_cell`, or one shorter than p units.
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
    units, rest = divmod(length, pixels_per_cell)
    if rest:
        raise ValueError(
            f"{axis}: must be a multiple of {pixels_per_cell}, got {length}; {length - rest} is the next below."
        )
    outer = units // zoom_factor
    if outer < 1:
        raise ValueError(
            f"{axis}: a level must be at least zoom_factor = {zoom_factor} times {pixels_per_cell} cells, got "
            f"{length}; choose a larger level or a smaller zoom_factor."
        )
    return (
        (units - outer) // 2 * pixels_per_cell,
        outer * pixels_per_cell,
        (units - zoom_factor * outer) // 2 * pixels_per_cell,
    )


def levels_nesting(levels: Tensor, zoom_factor: int, pixels_per_cell: int = 1) -> Nesting:
    """`nesting` of a stack (N, C, ..., H, W) of two levels or more.

    Raises:
        ValueError: fewer than two levels, and as `nesting`.
    """
    if len(levels) < 2:
        raise ValueError(f"levels: a zoom stack has at least 2 levels, got {len(levels)}; add a prompt for each level.")
    return nesting(canvas_size(levels), zoom_factor, pixels_per_cell)


def footprints(size: Size, zoom_factor: int, pixels_per_cell: int = 1) -> tuple[Nesting, ...]:
    """What level i covers of the levels around it, step by step outwards, until that is less than one cell.

    Entry k tells where the whole cells of level i - k - 1 lie that are within level i: `outer` on that level, `inner`
    in the cells of the entry before (for k = 0, of level i). The first entry is `nesting` itself. Cells that reach
    beyond level i are left out, so p = 2 on 12 x 12 covers 6 x 6, 2 x 2 (not 3 x 3, which would start in the middle of
    a cell), and nothing. Arguments and errors as `nesting`.
    """
    first = nesting(size, zoom_factor, pixels_per_cell)
    found = [first]
    while True:
        seen = found[-1].outer
        top, height = _whole_cells(seen.top, seen.height, first.inner.top, zoom_factor)
        left, width = _whole_cells(seen.left, seen.width, first.inner.left, zoom_factor)
        if height < 1 or width < 1:
            return tuple(found)
        inner = Window(
            first.inner.top + zoom_factor * top - seen.top,
            first.inner.left + zoom_factor * left - seen.left,
            zoom_factor * height,
            zoom_factor * width,
        )
        found.append(Nesting(Window(first.outer.top + top, first.outer.left + left, height, width), inner))


def _whole_cells(start: int, length: int, origin: int, zoom_factor: int) -> tuple[int, int]:
    """First and number of the blocks of p cells, counted from `origin`, that lie within start..start + length."""
    first = -((origin - start) // zoom_factor)
    return first, (start + length - origin) // zoom_factor - first

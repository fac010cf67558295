"""Where one level of a zoom stack lies in the next: plain integers, exact for every size and zoom factor.

Level 0 is the most zoomed out; level i + 1 shows the centre of level i, p times larger, on a picture of the same size.
"""

from typing import NamedTuple

from torch import Tensor

from .windows import Size, Window, canvas_size


class Nesting(NamedTuple):
    """Two blocks that show the same part of the scene, on neighbouring levels of one size."""

    outer: Window  # on level i
    inner: Window  # on level i + 1, p times as high and wide: all of it but a rest below p units


def nesting(size: Size, p: int, unit: int = 1) -> Nesting:
    """Where level i + 1 lies in level i, and where level i in level i + 1.

    Convention:
        - the outer block is floor(H / p) x floor(W / p), the inner one p times that, both as near to the middle as
          whole cells allow (rounded up and left); p = 2 on 16 x 16 gives 8 x 8 at (4, 4) and 16 x 16 at (0, 0)
        - a row edge y of level i + 1 lies at outer.top + (y - inner.top) / p of level i, and columns likewise
        - with `unit` > 1 the blocks are those of a picture `unit` times smaller, multiplied: pixels then nest exactly
          as the latent cells of `unit` pixels do

    Args:
        size: height and width of every level, multiples of `unit`.
        p: zoom factor between neighbouring levels, 2 or more.
        unit: smallest block that is not divided, in the cells of `size`.

    Raises:
        ValueError: p below 2, a side that is no multiple of `unit`, or one shorter than p units.
    """
    if p < 2:
        raise ValueError(f"p: the zoom factor between levels must be at least 2, got {p}.")
    if unit < 1:
        raise ValueError(f"unit: must be at least 1 cell, got {unit}.")
    top, height, inner_top = _nest("height", size.height, p, unit)
    left, width, inner_left = _nest("width", size.width, p, unit)
    return Nesting(Window(top, left, height, width), Window(inner_top, inner_left, p * height, p * width))


def _nest(axis: str, length: int, p: int, unit: int) -> tuple[int, int, int]:
    units, rest = divmod(length, unit)
    if rest:
        raise ValueError(f"{axis}: must be a multiple of {unit}, got {length}; {units * unit} is the next below.")
    outer = units // p
    if outer < 1:
        raise ValueError(
            f"{axis}: a level must be at least p = {p} times {unit} cells, got {length}; choose a larger level or a "
            f"smaller p."
        )
    return (units - outer) // 2 * unit, outer * unit, (units - p * outer) // 2 * unit


def levels_nesting(levels: Tensor, p: int, unit: int = 1) -> Nesting:
    """`nesting` of a stack (N, C, ..., H, W) of two levels or more.

    Raises:
        ValueError: fewer than two levels, and as `nesting`.
    """
    if len(levels) < 2:
        raise ValueError(f"levels: a zoom stack has at least 2 levels, got {len(levels)}; add a prompt for each level.")
    return nesting(canvas_size(levels), p, unit)

"""Windows: where on the canvas the model looks, and how a view is cut out and put back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Size(NamedTuple):
    """Height and width in latent cells."""

    height: int
    width: int

    def scaled(self, parts_per_cell: int) -> "Size":
        """The same in parts of a cell: in pixels, for instance."""
        return Size(*(parts_per_cell * cells for cells in self))


class Window(NamedTuple):
    """A rectangle on the canvas, in latent cells. It may run over a wrapping edge and go on at the other side."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """Its height and width."""
        return Size(self.height, self.width)

    def scaled(self, parts_per_cell: int) -> "Window":
        """The same in parts of a cell: in pixels, for instance."""
        return Window(*(parts_per_cell * cells for cells in self))


class Wrap(NamedTuple):
    """Which edges of the canvas meet: `y` top and bottom, `x` left and right (a 360-degree panorama)."""

    y: bool = False
    x: bool = False


NO_WRAP = Wrap()
NO_OFFSET = Size(0, 0)


def canvas_size(canvas: Tensor) -> Size:
    """Spatial size of a canvas (..., H, W)."""
    return Size(canvas.shape[-2], canvas.shape[-1])


@lru_cache(maxsize=64)  # asked several times in every step
def plan_windows(
    canvas: Size, window: Size, stride: Size, wrap: Wrap = NO_WRAP, grid: int = 1, offset: Size = NO_OFFSET
) -> tuple[Window, ...]:
    """Windows that cover the canvas, row by row.

    Convention:
        - a window larger than the canvas is cut to the canvas, in that direction only
        - without wrap, the last window always ends at the edge, even where the stride does not divide the rest
          (the papers' own `get_views` drops the remainder and leaves columns that nothing denoises)
        - with wrap, the windows are spread evenly around the loop, as few as keep every gap at most `stride`,
          so the seam is covered exactly as densely as everything else
        - an offset moves the inner windows down and to the right; the outer ones stay at the edges, and where the gap
          that this leaves behind the first one is too wide, a window fills it. With wrap all windows move.

    Args:
        canvas: size to cover.
        window: size of each window, the model's native size.
        stride: largest distance between neighbouring windows; 1..window.
        wrap: edges that meet. A wrapping canvas must be at least as large as the window.
        grid: offsets are multiples of it wherever the canvas, the stride and the shift are.
        offset: 0..stride - 1, for Cross Sampling; without meaning where a single window reaches from edge to edge.

    Raises:
        ValueError: a size or stride below 1, a stride above the window, a shift outside of the stride, or a wrapping
            canvas below the window.
    """
    rows = _offsets("height", canvas.height, window.height, stride.height, wrap.y, grid, offset.height)
    columns = _offsets("width", canvas.width, window.width, stride.width, wrap.x, grid, offset.width)
    height, width = min(window.height, canvas.height), min(window.width, canvas.width)
    return tuple(Window(top, left, height, width) for top in rows for left in columns)


def _offsets(axis: str, canvas: int, window: int, stride: int, wrap: bool, grid: int, offset: int) -> list[int]:
    if canvas < 1 or window < 1:
        raise ValueError(f"{axis}: canvas and window must be at least 1 latent cell, got {canvas} and {window}.")
    if not 1 <= stride <= window:
        raise ValueError(
            f"{axis}: stride must be in 1..{window} (the window), got {stride}; a larger stride leaves gaps."
        )
    last = max(canvas - window, 0)
    if not last and not wrap:
        return [0]
    if not 0 <= offset < stride:
        raise ValueError(f"{axis}: offset must be in 0..{stride - 1} (below the stride), got {offset}.")
    if wrap:
        if canvas < window:
            raise ValueError(
                f"{axis}: a wrapping canvas must be at least as large as the window ({window} latent cells), "
                f"got {canvas}; make the canvas larger, the window smaller, or turn wrap off."
            )
        step = grid if canvas % grid == 0 and stride % grid == 0 else 1
        count = -(-canvas // stride)
        return [(index * (canvas // step) // count * step + offset) % canvas for index in range(count)]
    first_inner = offset + stride if offset + stride <= window else offset
    return [0, *range(first_inner, last, stride), last]


def crop(canvas: Tensor, window: Window) -> Tensor:
    """The view of `canvas` (..., H, W) through `window`: (..., height, width). A copy only where it wraps."""
    return _take(_take(canvas, -2, window.top, window.height), -1, window.left, window.width)


def _take(tensor: Tensor, dim: int, start: int, length: int) -> Tensor:
    before_edge = min(length, tensor.shape[dim] - start)
    head = tensor.narrow(dim, start, before_edge)
    if before_edge == length:
        return head
    return torch.cat([head, tensor.narrow(dim, 0, length - before_edge)], dim)


def crop_batch(canvas: Tensor, windows: Sequence[Window]) -> Tensor:
    """Views of N windows of one size, stacked window-major: (B, ...) to (N*B, ...), index = window * B + image."""
    return torch.cat([crop(canvas, window) for window in windows])


def add_to(canvas: Tensor, view: Tensor, window: Window) -> None:
    """Add `view` to `canvas` through `window`, in place: the transpose of `crop`, F_i^-1 in the papers."""
    for rows, view_rows in _parts(canvas, view, -2, window.top):
        for cells, view_cells in _parts(rows, view_rows, -1, window.left):
            cells.add_(view_cells)


def _parts(canvas: Tensor, view: Tensor, dim: int, start: int) -> list[tuple[Tensor, Tensor]]:
    """Where a side of the view lies on the canvas, and the view there: two parts where it runs over the edge."""
    length = view.shape[dim]
    inside = min(length, canvas.shape[dim] - start)
    head = canvas.narrow(dim, start, inside)
    if inside == length:
        return [(head, view)]
    rest = length - inside
    return [(head, view.narrow(dim, 0, inside)), (canvas.narrow(dim, 0, rest), view.narrow(dim, inside, rest))]

"""Windows: which parts of the canvas the model sees, and how a view is cropped and added back."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Size(NamedTuple):
    """Height and width in latent cells."""

    height: int
    width: int

    def scaled(self, parts_per_cell: int) -> "Size":
        """The same size in parts of a cell, such as pixels."""
        return Size(*(parts_per_cell * cells for cells in self))


class Window(NamedTuple):
    """A rectangle on the canvas, in latent cells. It may cross a wrapping edge and continue at the opposite side."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """Its height and width."""
        return Size(self.height, self.width)

    def scaled(self, parts_per_cell: int) -> "Window":
        """The same window in parts of a cell, such as pixels."""
        return Window(*(parts_per_cell * cells for cells in self))


class Wrap(NamedTuple):
    """Which opposite edges of the canvas are joined: `y` top and bottom, `x` left and right (360-degree panorama)."""

    y: bool = False
    x: bool = False


NO_WRAP = Wrap()
NO_OFFSET = Size(0, 0)


def canvas_size(canvas: Tensor) -> Size:
    """Spatial size of a canvas (..., H, W)."""
    return Size(canvas.shape[-2], canvas.shape[-1])


# Beyond that, a number in the settings is a slip: they alone would take gigabytes.
MOST_ON_A_CANVAS = 1_000_000


@lru_cache(maxsize=64)  # called several times in every step
def plan_windows(
    canvas: Size, window: Size, stride: Size, wrap: Wrap = NO_WRAP, grid: int = 1, offset: Size = NO_OFFSET
) -> tuple[Window, ...]:
    """Windows that cover the canvas, row by row.

    Convention:
        - a window larger than the canvas is cut to the canvas, along that axis only
        - without wrap, the last window ends at the edge. Where the stride does not divide the rest, it is closer to
          the window before it. (The authors' `get_views` drops the remainder, so some columns are never denoised.)
        - with wrap, the windows are spaced evenly around the loop. Their number is the smallest for which no distance
          exceeds `stride`
        - `offset` moves the inner windows down and to the right. The outer windows stay at the edges. If the first gap
          becomes larger than a window, another window fills it. With wrap, all windows move

    Args:
        canvas: size to cover.
        window: size of each window, the model's native size.
        stride: largest distance between neighbouring windows; 1..window.
        wrap: edges that are joined. A wrapping canvas must be at least as large as the window.
        grid: positions are multiples of it if canvas, stride and offset are.
        offset: 0..stride - 1, for Cross Sampling. Ignored along an axis with a single window and no wrap.

    Raises:
        ValueError: a size or stride below 1, a stride above the window, an offset outside 0..stride - 1, a wrapping
            canvas below the window, or more than `MOST_ON_A_CANVAS`.
    """
    rows = _positions("height", canvas.height, window.height, stride.height, wrap.y, grid, offset.height)
    columns = _positions("width", canvas.width, window.width, stride.width, wrap.x, grid, offset.width)
    height, width = min(window.height, canvas.height), min(window.width, canvas.width)
    count = len(rows) * len(columns)
    if count > MOST_ON_A_CANVAS:
        raise ValueError(
            f"windows: a canvas of {canvas.width} x {canvas.height} latent cells needs {count:,} windows of {width} "
            f"x {height}, and {MOST_ON_A_CANVAS:,} is the limit; make the canvas smaller, the windows larger, or their "
            "overlap less."
        )
    return tuple(Window(top, left, height, width) for top in rows for left in columns)


def _positions(axis: str, canvas: int, window: int, stride: int, wrap: bool, grid: int, offset: int) -> list[int]:
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
    """The view of `canvas` (..., H, W) through `window`: (..., height, width). Copies only if the window wraps."""
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


def add_to(canvas: Tensor, views: Iterable[Tensor], windows: Iterable[Window]) -> None:
    """Add each view to the canvas (..., H, W) through its window, in place: the transpose of `crop`, F_i^-1."""
    for view, window in zip(views, windows, strict=True):
        for rows, view_rows in _parts(canvas, view, -2, window.top):
            for cells, view_cells in _parts(rows, view_rows, -1, window.left):
                cells.add_(view_cells)


def _parts(canvas: Tensor, view: Tensor, dim: int, start: int) -> list[tuple[Tensor, Tensor]]:
    """Pairs (part of the canvas, part of the view) along `dim`: two pairs if the view crosses the edge, else one."""
    length = view.shape[dim]
    inside = min(length, canvas.shape[dim] - start)
    head = canvas.narrow(dim, start, inside)
    if inside == length:
        return [(head, view)]
    rest = length - inside
    return [(head, view.narrow(dim, 0, inside)), (canvas.narrow(dim, 0, rest), view.narrow(dim, inside, rest))]

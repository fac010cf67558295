"""Places: parts of a canvas that pass softly into each other, so that each can have a prompt of its own."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..zoom.smoothstep import smoothstep
from .windows import NO_WRAP, Size, Wrap


class Reach(NamedTuple):
    """Where a prompt counts on a canvas."""

    name: str
    weights: Tensor  # (H, W), 0 or more


def shares(canvas: Size, rows: int, columns: int, border: tuple[float, float], wrap: Wrap = NO_WRAP) -> Tensor:
    """How much of each cell belongs to each place: (rows * columns, H, W), float32, 0..1; at each cell the sum is 1.

    The places lie on an even grid, row by row. Where two of them meet, one passes into the other along a smoothstep,
    and half of `border` lies on either side. The share of a place is the difference between the smoothstep at its
    beginning and that at its end. So the shares add up to 1 even if borders overlap, because a border is wider than a
    place. Farther than half a border from its place a share is exactly 0.

    Args:
        canvas: size to divide.
        rows: places from top to bottom, 1..height.
        columns: places from left to right, 1..width.
        border: (height, width) of the borders between rows and between columns, in latent cells, above 0; below 1 they
            are hard.
        wrap: edges that are joined. There the last place meets the first.

    Raises:
        ValueError: no row or column, more of them than cells, or a border that is not above 0.
    """
    for name, count, side, width in (
        ("rows", rows, canvas.height, border[0]),
        ("columns", columns, canvas.width, border[1]),
    ):
        if not 1 <= count <= side:
            raise ValueError(
                f"{name}: must be in 1..{side}, as the canvas has {side} latent cells in this direction, got {count}; "
                "use fewer prompts, or a larger canvas."
            )
        if not width > 0:
            raise ValueError(f"border: must be above 0 latent cells, got {width}.")
    along_y = _along(canvas.height, rows, border[0], wrap.y)
    along_x = _along(canvas.width, columns, border[1], wrap.x)
    return (along_y[:, None, :, None] * along_x[None, :, None, :]).flatten(0, 1).float()


def _along(cells: int, count: int, border: float, wraps: bool) -> Tensor:
    """The shares along one axis, (count, cells), float64."""
    # With wrap the places go on beyond both edges, for as many turns around the canvas as a border is wide.
    turns = math.ceil(border / 2 / cells) if wraps else 0
    beginnings = torch.arange(-turns * count, (turns + 1) * count + 1, dtype=torch.float64) * cells / count
    centres = torch.arange(cells, dtype=torch.float64) + 0.5
    begun = smoothstep(((centres - beginnings[:, None]) / border + 0.5).clamp(0, 1))
    if not wraps:  # the outer places have no border at the edges of the canvas
        begun[0], begun[-1] = 1, 0
    return (begun[:-1] - begun[1:]).clamp(min=0).view(2 * turns + 1, count, cells).sum(0)

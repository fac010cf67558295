"""Seams: colour steps at the borders of windows and at edges that are joined.

A colour step from pixel to pixel is compared with the steps one and two latent cells away: with near places, because
texture differs from place to place, and at a distance of whole cells, because decoders print a faint grid of cells
everywhere, which is no seam.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..canvas.windows import Size, Window

PIXELS_PER_CELL = 8  # pixels per side of a latent cell, for most models
AWAY = (-2, -1, 1, 2)  # cells from a step to those it is compared with
NO_STEP = 1e-6  # added to both, so that a flat picture has no seam


class Borders(NamedTuple):
    """Borders of windows: they lie before these rows and columns of pixels, 1..height - 1 and 1..width - 1."""

    rows: Sequence[int] = ()
    columns: Sequence[int] = ()


def window_borders(windows: Sequence[Window], canvas: Size) -> Borders:
    """The borders of all windows in rising order; windows and canvas are in pixels.

    The edges of the canvas are not borders, even if windows cross them: `wrap_error` measures them.
    """
    rows = {place % canvas.height for window in windows for place in (window.top, window.top + window.height)}
    columns = {place % canvas.width for window in windows for place in (window.left, window.left + window.width)}
    return Borders(sorted(rows - {0}), sorted(columns - {0}))


def seam_energies(image: Tensor, borders: Borders, pixels_per_cell: int = PIXELS_PER_CELL) -> Tensor:
    """The colour step across each border divided by the steps nearby: (B, rows + columns); 1 is no seam.

    A step is the absolute difference of two neighbouring pixels, averaged over channels and along the border.

    Args:
        image: (B, C, H, W), any range.
        borders: the result has the rows first.
        pixels_per_cell: pixels per side of a latent cell.

    Raises:
        ValueError: a border that is not inside the image, or a side of a single cell.
    """
    energies: list[Tensor] = []
    for side, dim, places in (("rows", 2, borders.rows), ("columns", 3, borders.columns)):
        steps = _steps(image, dim)
        for border in places:
            if not 0 < border < steps.shape[1]:
                raise ValueError(f"{side}: a border must lie inside the image, 1..{steps.shape[1] - 1}, got {border}.")
            energies.append(_relative(steps, border, [border + cells * pixels_per_cell for cells in AWAY]))
    return torch.stack(energies, dim=1) if energies else image.new_ones(len(image), 0)


def seam_energy(image: Tensor, borders: Borders, pixels_per_cell: int = PIXELS_PER_CELL) -> Tensor:
    """The mean of `seam_energies`, (B,); 1 where there are no borders."""
    return mean_energy(seam_energies(image, borders, pixels_per_cell))


def mean_energy(energies: Tensor) -> Tensor:
    """(B, borders) to (B,); 1 where there are no borders."""
    return energies.mean(dim=1) if energies.shape[1] else energies.new_ones(len(energies))


def wrap_error(image: Tensor, axis: Literal["y", "x"], pixels_per_cell: int = PIXELS_PER_CELL) -> Tensor:
    """The colour step from the last row (y) or column (x) to the first, divided by the steps near both: (B,).

    1 is no seam. Other arguments and errors as in `seam_energies`.
    """
    steps = _steps(image, 2 if axis == "y" else 3)
    return _relative(steps, 0, [cells * pixels_per_cell % steps.shape[1] for cells in AWAY])


def worst_place(image: Tensor, axis: Literal["y", "x"], border: int, length: int, wraps: bool = False) -> int:
    """Where along a border its colour step stands out most: the first of `length` pixels, 0..side - 1.

    What stands out is the step across the border minus the mean of the steps two pixels before and behind it.

    Args:
        image: (C, H, W).
        axis: x for a border between two columns, y for one between two rows.
        border: it lies before this column or row; 0 is the edge that is joined with the opposite one.
        length: pixels along the border that are looked at together, at most the side.
        wraps: whether the border itself crosses a joined edge, and the pixels may too.
    """
    dim = 0 if axis == "y" else 1
    steps = (image - image.roll(1, dim + 1)).abs().mean(0)  # (H, W)
    before, across, behind = (steps.select(dim, (border + away) % steps.shape[dim]) for away in (-2, 0, 2))
    excess = across - (before + behind) / 2
    if wraps:
        excess = torch.cat([excess, excess[: length - 1]])
    return int(excess.unfold(0, length, 1).mean(1).argmax())


def _steps(image: Tensor, dim: int) -> Tensor:
    """(B, length): the mean step from each row or column to the next; entry 0 is from the last to the first."""
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return (image - image.roll(1, dim)).abs().mean(dim=(1, 5 - dim))


def _relative(steps: Tensor, place: int, others: Sequence[int]) -> Tensor:
    """One step divided by the mean of those of the others that lie inside the image."""
    near = [other for other in others if 0 < other < steps.shape[1]]
    if not near:
        raise ValueError(
            f"image: must be larger than one latent cell in every direction, got a side of {steps.shape[1]} pixels: "
            "there is nothing to compare a step with."
        )
    return (steps[:, place] + NO_STEP) / (steps[:, near].mean(dim=1) + NO_STEP)

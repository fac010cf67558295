"""Seams: does a picture show where its windows begin and end, and do its edges meet?

Both are answered by the colour step from pixel to pixel, relative to the steps one and two latent cells away. Compared
is only with places nearby, because texture differs from layer to layer, and whole cells away, because a decoder leaves
a faint grid of its cells everywhere, which is no seam of windows.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..canvas.windows import Size, Window

PIXELS_PER_CELL = 8  # pixels of a latent cell, of most models
AWAY = (-2, -1, 1, 2)  # cells from a step to those it is compared with
NO_STEP = 1e-6  # added to both, so that a flat picture has no seam


class Borders(NamedTuple):
    """Where windows begin or end: before these rows and columns of pixels, 1..height - 1 and 1..width - 1."""

    rows: Sequence[int] = ()
    columns: Sequence[int] = ()


def window_borders(windows: Sequence[Window], canvas: Size) -> Borders:
    """The borders of all windows, both in pixels, in rising order.

    The edges of the canvas are not among them, even if windows run over them: `wrap_error` says how they meet.
    """
    rows = {place % canvas.height for window in windows for place in (window.top, window.top + window.height)}
    columns = {place % canvas.width for window in windows for place in (window.left, window.left + window.width)}
    return Borders(sorted(rows - {0}), sorted(columns - {0}))


def seam_energies(image: Tensor, borders: Borders, pixels_per_cell: int = PIXELS_PER_CELL) -> Tensor:
    """The colour step across each border, relative to the steps in its neighbourhood: (B, rows + columns).

    Convention:
        - 1 means that a border looks like any other place, 2 that the step there is twice as large
        - a step is the absolute difference of two neighbouring pixels, averaged over channels and along the border

    Args:
        image: (B, C, H, W), any range.
        borders: the rows come first.
        pixels_per_cell: pixels of a latent cell.

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
    """The colour step from the last row (y) or column (x) to the first, relative to the steps near both edges: (B,).

    1 means that the edges meet as if the picture went on there, 2 that the step is twice as large. Image, cell and
    errors as in `seam_energies`.
    """
    steps = _steps(image, 2 if axis == "y" else 3)
    return _relative(steps, 0, [cells * pixels_per_cell % steps.shape[1] for cells in AWAY])


def _steps(image: Tensor, dim: int) -> Tensor:
    """(B, length): the mean step from place - 1 to place, at 0 from the last to the first."""
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return (image - image.roll(1, dim)).abs().mean(dim=(1, 5 - dim))


def _relative(steps: Tensor, place: int, others: Sequence[int]) -> Tensor:
    """One step relative to the mean of the others, but for those that are not in the image or lead over its edge."""
    near = [other for other in others if 0 < other < steps.shape[1]]
    if not near:
        raise ValueError(
            f"image: must be larger than one latent cell in every direction, got a side of {steps.shape[1]} pixels: "
            "there is nothing to compare a step with."
        )
    return (steps[:, place] + NO_STEP) / (steps[:, near].mean(dim=1) + NO_STEP)

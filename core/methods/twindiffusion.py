"""TwinDiffusion: neighbouring windows are aligned before they are fused, and the windows move from step to step.

Zhou and Tang, "TwinDiffusion: Enhancing Coherence and Efficiency in Panoramic Image Generation with Diffusion Models",
ECAI 2024, section 3.2 (Crop Fusion) and 3.3 (Cross Sampling).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..canvas.fusion import WindowWeights
from ..canvas.windows import Size, Window, Wrap
from ..step import Step, noise_level_key
from .multidiffusion import WindowParams


@dataclass(frozen=True, kw_only=True)
class CropFusionParams:
    """Crop Fusion, Eq. 4-6.

    Attributes:
        adjacency: lambda, > 0, how much a window holds on to itself where it overlaps its neighbour; the paper's
            ablation (Fig. 7) is best near 1.
        stop: tau, the progress (`Step.progress`) after which windows are fused plainly, 0..1; best at half (Fig. 6).
    """

    adjacency: float = 1.0
    stop: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.adjacency < float("inf"):
            raise ValueError(
                f"lambda: must be a number above 0, got {self.adjacency}; "
                "small values copy the neighbour, large ones leave the window as it is."
            )
        if not 0 <= self.stop <= 1:
            raise ValueError(f"stop: must be in 0..1 (a part of the way from noise to picture), got {self.stop}.")

    def is_on(self, step: Step) -> bool:
        """Whether neighbours are aligned in this step."""
        return step.progress < self.stop


@dataclass(frozen=True, kw_only=True)
class CrossSamplingParams:
    """Cross Sampling, Eq. 7: in each step the inner windows are shifted by some multiple of the cross stride.

    The paper's multiple is t mod groups. Here it is drawn by lot from the noise level, so that a run that was cut in
    two has the windows of the whole run.

    Attributes:
        groups: c, how many sets of windows take turns, >= 2.
        cross_stride: s_c, latent cells between one set and the next; None spaces the sets evenly within the stride.
            The paper's Table 1 is best at a half or a third of the stride.
    """

    groups: int = 2
    cross_stride: Size | None = None

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise ValueError(f"groups: must be at least 2 sets of windows that take turns, got {self.groups}.")
        if self.cross_stride is not None and not min(self.cross_stride) >= 1:
            raise ValueError(f"cross stride: must be at least 1 latent cell, got {tuple(self.cross_stride)}.")

    def offset_at(self, step: Step, windows: WindowParams) -> Size:
        """How far the inner ones of `windows` have moved in this step."""
        return self.offset_of(random.Random(noise_level_key(step.sigma)).randrange(self.groups), windows)

    def offset_of(self, turn: int, windows: WindowParams) -> Size:
        """How far the inner ones have moved in this of the turns, 0..groups - 1."""
        return Size(*(turn * self._cross_stride(axis, windows) for axis in (0, 1)))

    def check(self, windows: WindowParams, canvas: Size) -> None:
        """Refuse windows that cannot take turns on this canvas. Along an axis with a single window none has to.

        Raises:
            ValueError: the windows are too close to each other for so many sets, or a cross stride leads beyond the
                next window.
        """
        for axis, name in enumerate(("height", "width")):
            if windows.wrap[axis] or canvas[axis] > windows.window[axis]:
                self._check_axis(axis, name, windows)

    def _check_axis(self, axis: int, name: str, windows: WindowParams) -> None:
        stride, grid, cells = windows.stride[axis], windows.grid, self._cross_stride(axis, windows)
        if cells == 0:
            sets = stride // grid
            room, way_out = (f"{sets} sets", "fewer groups, or less") if sets > 1 else ("one set", "less")
            raise ValueError(
                f"groups: with a stride of {stride} latent cells ({name}) and a grid of {grid} there is room for "
                f"{room} of windows, got {self.groups}; use {way_out} overlap of the windows, or no cross_sampling."
            )
        if (self.groups - 1) * cells >= stride:
            raise ValueError(
                f"cross stride {name}: {self.groups} sets of windows must lie within one stride of {stride} latent "
                f"cells, so at most {(stride - 1) // (self.groups - 1)} apart, got {cells}."
            )

    def _cross_stride(self, axis: int, windows: WindowParams) -> int:
        if self.cross_stride is not None:
            return self.cross_stride[axis]
        return windows.stride[axis] // self.groups // windows.grid * windows.grid


def crop_fusion_weights(
    windows: Sequence[Window], weights: WindowWeights, canvas: Size, wrap: Wrap, adjacency: float
) -> WindowWeights:
    """Weights that make the plain weighted average of the windows equal Crop Fusion followed by that average.

    Eq. 4 asks for the x_i* that is near its neighbour on their overlap and near its own prediction x_i everywhere. The
    Lagrangian Eq. 6, |M (x_{i-1}* - x_i*)|^2 + lambda |x_i - x_i*|^2, is quadratic and separates into cells; setting
    its derivative to zero gives, with m neighbours n at a cell,

        x_i* = (sum_n x_n* + lambda x_i) / (m + lambda)

    window after window in reading order. Neighbours are the left and the upper window; the last window of a row or
    column that wraps has the first one for a neighbour too. The result is linear in the x_i, and so is the average
    sum_i W_i x_i* / sum_i W_i after it, so the recursion need not be run on pictures: its transpose is run once on the
    weights. From the last window to the first, each keeps lambda / (m + lambda) of its weight at a cell and hands
    1 / (m + lambda) of it to each neighbour there. What is handed on stays in place on the canvas, so the sum of all
    weights is what it was.

    Crop Fusion then costs nothing in a step, for any number of windows, batched in any order.

    Args:
        windows: row by row, as `plan_windows` makes them.
        weights: of the average after Crop Fusion.
        canvas: size of the canvas.
        wrap: edges that meet.
        adjacency: lambda.
    """
    fused = {window: weights[window].clone() for window in windows}
    for window, neighbours in reversed(list(_earlier_neighbours(windows, wrap))):
        overlaps = [(other, _overlap(window, other, canvas)) for other in neighbours]
        count = torch.zeros_like(fused[window])
        for _, (here, _) in overlaps:
            count[here] += 1
        share = fused[window] / (count + adjacency)
        fused[window] = adjacency * share
        for other, (here, there) in overlaps:
            fused[other][there] += share[here]
    return fused


def _earlier_neighbours(windows: Sequence[Window], wrap: Wrap) -> Iterator[tuple[Window, list[Window]]]:
    """Each window with those of its direct neighbours that come before it in reading order."""
    tops, lefts = (list(dict.fromkeys(axis)) for axis in zip(*((w.top, w.left) for w in windows), strict=True))
    grid = {(tops.index(w.top), lefts.index(w.left)): w for w in windows}
    for (row, column), window in grid.items():
        places = [(row, column - 1), (row - 1, column)]
        if wrap.x and column == len(lefts) - 1:
            places.append((row, 0))
        if wrap.y and row == len(tops) - 1:
            places.append((0, column))
        yield window, [grid[place] for place in dict.fromkeys(places) if place in grid and place != (row, column)]


Region = tuple[Tensor, Tensor]
"""Rows (h, 1) and columns (1, w): an index of a rectangle of cells."""


def _overlap(window: Window, other: Window, canvas: Size) -> tuple[Region, Region]:
    """The cells that both windows see: where they are in `window`, and where in `other`."""
    rows, other_rows = _common(window.top, other.top, window.height, canvas.height)
    columns, other_columns = _common(window.left, other.left, window.width, canvas.width)
    return (rows[:, None], columns[None]), (other_rows[:, None], other_columns[None])


def _common(start: int, other: int, length: int, canvas: int) -> tuple[Tensor, Tensor]:
    """Along one axis; a window that runs over a wrapping edge may share two stretches with another."""
    here = torch.arange(length)
    there = (start + here - other) % canvas
    shared = there < length
    return here[shared], there[shared]

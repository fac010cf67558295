"""TwinDiffusion: neighbouring windows are aligned before the fusion, and the windows move from step to step.

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
        adjacency: lambda, > 0: the weight of a window's own prediction against those of its neighbours. Best near 1
            in the paper's Fig. 7; `python -m benchmarks.figures twin-lambda` shows hardly any effect.
        stop: tau, the `Step.progress` from which windows are only averaged, 0..1. Best at half of the
            time in the paper's Fig. 6; see `python -m benchmarks.figures twin-tau`.
    """

    adjacency: float = 1.0
    stop: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.adjacency < float("inf"):
            raise ValueError(
                f"adjacency (lambda): must be a number above 0, got {self.adjacency}; "
                "small values copy the neighbour, large ones leave the window as it is."
            )
        if not 0 <= self.stop <= 1:
            raise ValueError(f"stop: must be in 0..1 (a part of the way from noise to picture), got {self.stop}.")


@dataclass(frozen=True, kw_only=True)
class CrossSamplingParams:
    """Cross Sampling, Eq. 7: in each step the inner windows are moved by a multiple of the cross stride.

    The paper's multiple is t mod groups. Here it is random and depends on the noise level only, so a run that was cut
    in two has the windows of the whole run.

    Attributes:
        groups: c, the number of sets of windows, >= 2; each step uses one set.
        cross_stride: s_c, latent cells between one set and the next; None spaces the sets evenly within the stride.
            Best at a half or a third of the stride in the paper's Table 1; in `python -m benchmarks.figures
            twin-cross-stride` all that were tried are nearly as good as one another.
    """

    groups: int = 2
    cross_stride: Size | None = None

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise ValueError(f"groups: must be at least 2 sets of windows that take turns, got {self.groups}.")
        if self.cross_stride is not None and not min(self.cross_stride) >= 1:
            raise ValueError(f"cross_stride: must be at least 1 latent cell, got {tuple(self.cross_stride)}.")

    def offset_at(self, step: Step, windows: WindowParams) -> Size:
        """The offset of the inner windows in this step."""
        return self.offset_of(random.Random(noise_level_key(step.sigma)).randrange(self.groups), windows)

    def offset_of(self, turn: int, windows: WindowParams) -> Size:
        """The offset of the inner windows in set `turn`, 0..groups - 1."""
        return Size(*(turn * self._cross_stride(axis, windows) for axis in (0, 1)))

    def check(self, windows: WindowParams, canvas: Size) -> None:
        """Check that the stride has room for all sets, along each axis with more than one window.

        Raises:
            ValueError: the stride is too small for so many sets, or the last set would reach the next window.
        """
        for axis, name in enumerate(("height", "width")):
            if canvas[axis] <= windows.window[axis] and not windows.wrap[axis]:
                continue
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
                    f"cross_stride {name}: {self.groups} sets of windows must lie within one stride of {stride} latent "
                    f"cells, so at most {(stride - 1) // (self.groups - 1)} apart, got {cells}."
                )

    def _cross_stride(self, axis: int, windows: WindowParams) -> int:
        if self.cross_stride is not None:
            return self.cross_stride[axis]
        return windows.stride[axis] // self.groups // windows.grid * windows.grid


def crop_fusion_weights(
    windows: Sequence[Window], weights: WindowWeights, canvas: Size, wrap: Wrap, adjacency: float
) -> WindowWeights:
    """Weights with which the weighted average of the windows equals Crop Fusion followed by the average.

    Eq. 4 asks for an aligned x_i* that is near its neighbour where they overlap, and near its own prediction x_i. The
    Lagrangian Eq. 6, |M (x_{i-1}* - x_i*)|^2 + lambda |x_i - x_i*|^2, is quadratic in every cell. Its minimum is, at a
    cell with m neighbours n,

        x_i* = (sum_n x_n* + lambda x_i) / (m + lambda)

    Convention, where the paper can be read in several ways:
        - Eq. 4 writes the neighbour without a star. Here it is the aligned x_{i-1}*: windows are aligned one after
          another in reading order, as "successively" (Fig. 1) and "progressively" (section 3.2) say
        - Eq. 4 has one neighbour, at the left. Here the upper window is a neighbour as well, and in a row or column
          that wraps the first window is a neighbour of the last
        - x_i is the denoised prediction for a view of the fused canvas, not a crop's own path f(x_{t+1}^{i*})
        - lambda is given (Fig. 7); the bound of Eq. 5 is not used

    Crop Fusion and the average sum_i W_i x_i* / sum_i W_i are linear in the x_i. So the recursion runs on the weights
    instead of the views, once and transposed: from the last window to the first, each keeps lambda / (m + lambda) of
    its weight at a cell and gives 1 / (m + lambda) of it to each neighbour there. The sum of all weights at a cell does
    not change. A step then costs the same as without Crop Fusion, and windows may be batched in any order.

    The windows are in the order of `plan_windows`, `weights` are W_i, and `adjacency` is lambda.
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
    """Each window with its neighbours that are aligned before it."""
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
"""Rows (h, 1) and columns (1, w), the index of a rectangle of cells."""


def _overlap(window: Window, other: Window, canvas: Size) -> tuple[Region, Region]:
    """The cells that both windows contain: their index in `window` and in `other`."""
    rows, other_rows = _common(window.top, other.top, window.height, canvas.height)
    columns, other_columns = _common(window.left, other.left, window.width, canvas.width)
    return (rows[:, None], columns[None]), (other_rows[:, None], other_columns[None])


def _common(start: int, other: int, length: int, canvas: int) -> tuple[Tensor, Tensor]:
    """The same along one axis. If a window crosses a wrapping edge, the common cells may be in two pieces."""
    here = torch.arange(length)
    there = (start + here - other) % canvas
    shared = there < length
    return here[shared], there[shared]

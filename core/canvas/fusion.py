"""Fusing overlapping views into one canvas by a weighted average."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from .windows import Size, Window, add_to, canvas_size, crop

WeightShape = Literal["uniform", "feathered", "gaussian"]
WEIGHT_SHAPES: tuple[WeightShape, ...] = get_args(WeightShape)

# Standard deviation of the gaussian weights, as a part of the window: the edge still weighs exp(-3.1) = 4 %.
GAUSSIAN_WIDTH = 0.2

WindowWeights = Mapping[Window, Tensor]
"""For each window the weights (height, width) of its cells, where and in the precision in which they are needed."""


def window_weights(shape: WeightShape, size: Size) -> Tensor:
    """Weights W of the cells of a window (MSD Eq. 5): (height, width), float32, symmetric, strictly positive.

    `uniform` is the plain average of MultiDiffusion; `feathered` falls linearly to the edge and `gaussian` smoothly,
    so that a window speaks loudest where it has seen the surroundings on all sides.
    """
    rows, columns = (_profile(shape, length) for length in size)
    return torch.outer(rows, columns)


def _profile(shape: WeightShape, length: int) -> Tensor:
    distance = (torch.arange(length) - (length - 1) / 2).abs()
    if shape == "uniform":
        return torch.ones(length)
    if shape == "feathered":
        return 1 - distance / ((length + 1) / 2)
    if shape == "gaussian":
        return torch.exp(-0.5 * (distance / (GAUSSIAN_WIDTH * length)) ** 2)
    raise ValueError(f"weights: must be uniform, feathered or gaussian, got {shape!r}.")


def shared_weights(
    shape: WeightShape, windows: Sequence[Window], device: torch.device, precision: torch.dtype
) -> WindowWeights:
    """The same weights for all windows, as MultiDiffusion has them."""
    return dict.fromkeys(windows, window_weights(shape, windows[0].size).to(device, precision))


def normalised(weights: WindowWeights, canvas: Size) -> WindowWeights:
    """The weights divided by their sum at every cell of the canvas: with these a weighted sum is the weighted average.

    Exact, with no epsilon below: `plan_windows` leaves no cell uncovered.
    """
    total = next(iter(weights.values())).new_zeros(canvas)
    add_to(total, weights.values(), weights)
    return {window: cells / crop(total, window) for window, cells in weights.items()}


def fusion_precision(canvas: Tensor) -> torch.dtype:
    """In which sums are kept: float32, or float64 for a float64 canvas."""
    return torch.promote_types(canvas.dtype, torch.float32)


class Fusion:
    """Running weighted averages of views on one canvas: sum_i F_i^-1(W_i * x_i) / sum_i F_i^-1(W_i), MSD Eq. 6.

    One average or several of the same windows, such as those of cond and uncond. Views arrive batch by batch, so memory
    holds the canvas and one batch, whatever the number of windows. A window costs one addition for all averages
    together: of a GPU every single operation takes as long as many cells do.
    """

    def __init__(self, canvas: Tensor, weights: WindowWeights, count: int = 1):
        """Start `count` empty averages.

        Args:
            canvas: (B, ..., H, W); only its shape, dtype and device are read.
            weights: of every window, `normalised`.
            count: how many averages.
        """
        self._dtype = canvas.dtype
        self._weights = weights
        self._total = canvas.new_zeros((count, *canvas.shape), dtype=fusion_precision(canvas))

    def add(self, views: Sequence[Tensor], windows: Sequence[Window]) -> None:
        """Add to each average its views (N*B, ..., height, width) of N windows, stacked window-major."""
        weights = torch.stack([self._weights[window] for window in windows])
        together = torch.stack([*views]).to(self._total)
        together = together.view(len(views), len(windows), -1, *views[0].shape[1:])
        together *= weights.view(len(windows), *[1] * (together.ndim - 4), *weights.shape[1:])
        add_to(self._total, together.unbind(1), windows)

    def result(self) -> list[Tensor]:
        """The averages (B, ..., H, W), with the dtype of the canvas."""
        return [*self._total.to(self._dtype).unbind()]


def fuse(canvas: Tensor, views: Tensor, windows: Sequence[Window], weights: WindowWeights) -> Tensor:
    """Weighted average of all views (N*B, ..., height, width) at once, on a canvas shaped like `canvas`."""
    fusion = Fusion(canvas, normalised(weights, canvas_size(canvas)))
    fusion.add([views], windows)
    return fusion.result()[0]

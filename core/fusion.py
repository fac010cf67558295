"""Fusing overlapping views into one canvas by a weighted average."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from .windows import Size, Window, add_to

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
    first = windows[0]
    return dict.fromkeys(windows, window_weights(shape, Size(first.height, first.width)).to(device, precision))


def fusion_precision(canvas: Tensor) -> torch.dtype:
    """In which sums are kept: float32, or float64 for a float64 canvas."""
    return torch.promote_types(canvas.dtype, torch.float32)


class Fusion:
    """The running weighted average of views on one canvas: sum_i F_i^-1(W_i * x_i) / sum_i F_i^-1(W_i), MSD Eq. 6.

    Views arrive batch by batch, so memory holds the canvas and one batch, whatever the number of windows. The result
    has the dtype of the canvas.
    """

    def __init__(self, canvas: Tensor, weights: WindowWeights):
        """Start an empty average for `canvas` (B, ..., H, W) (only its shape, dtype and device are read)."""
        self._dtype = canvas.dtype
        self._weights = weights
        self._total = torch.zeros_like(canvas, dtype=fusion_precision(canvas))
        self._weight_sum = self._total.new_zeros(canvas.shape[-2:])

    def add(self, views: Tensor, windows: Sequence[Window]) -> None:
        """Add the views (N*B, ..., height, width) of N windows, stacked window-major."""
        for view, window in zip(views.to(self._total).chunk(len(windows)), windows, strict=True):
            weights = self._weights[window]
            add_to(self._total, view * weights, window)
            add_to(self._weight_sum, weights, window)

    def result(self) -> Tensor:
        """The average (B, ..., H, W), in the memory of the sum: the fusion ends here.

        Exact, with no epsilon below: `plan_windows` leaves no cell uncovered.
        """
        return self._total.div_(self._weight_sum).to(self._dtype)


def fuse(canvas: Tensor, views: Tensor, windows: Sequence[Window], weights: WindowWeights) -> Tensor:
    """Weighted average of all views (N*B, ..., height, width) at once, on a canvas shaped like `canvas`."""
    fusion = Fusion(canvas, weights)
    fusion.add(views, windows)
    return fusion.result()

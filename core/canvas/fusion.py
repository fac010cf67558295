"""Fusing overlapping views into one canvas by a weighted average."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from .windows import Size, Window, add_to, canvas_size, crop

WeightShape = Literal["uniform", "feathered", "gaussian"]
WEIGHT_SHAPES: tuple[WeightShape, ...] = get_args(WeightShape)

# Standard deviation of the gaussian weights, as a part of the window. At the edge the weight is exp(-3.1) = 4 %.
GAUSSIAN_WIDTH = 0.2

WindowWeights = Mapping[Window, Tensor]
"""For each window the weights (height, width) of its cells, on the device and in the precision of the fusion."""


def window_weights(shape: WeightShape, size: Size) -> Tensor:
    """Weights W of the cells of a window (MSD Eq. 5): (height, width), float32, symmetric, above 0.

    `uniform` is the plain average of MultiDiffusion. `feathered` falls linearly to the edge, `gaussian` smoothly: a
    window then counts most where it sees the surroundings on all sides.

    Raises:
        ValueError: an unknown shape.
    """
    rows, columns = (axis_weights(shape, length) for length in size)
    return torch.outer(rows, columns)


def axis_weights(shape: WeightShape, length: int) -> Tensor:
    """The factor of `window_weights` along one axis: (length,). Raises as it does."""
    distance = (torch.arange(length) - (length - 1) / 2).abs()
    if shape == "uniform":
        return torch.ones(length)
    if shape == "feathered":
        return 1 - distance / ((length + 1) / 2)
    if shape == "gaussian":
        return torch.exp(-0.5 * (distance / (GAUSSIAN_WIDTH * length)) ** 2)
    raise ValueError(f"weights: must be uniform, feathered or gaussian, got {shape!r}.")


def shared_weights(shape: WeightShape, windows: Sequence[Window], canvas: Tensor) -> WindowWeights:
    """`normalised` weights of MultiDiffusion: before that, all windows have the same `window_weights`.

    Of `canvas` (..., H, W) only size, dtype and device are read.
    """
    weights = window_weights(shape, windows[0].size).to(canvas.device, fusion_precision(canvas))
    return normalised(dict.fromkeys(windows, weights), canvas_size(canvas))


def normalised(weights: WindowWeights, canvas: Size) -> WindowWeights:
    """The weights divided by their sum at every cell of the canvas. A weighted sum is then the weighted average.

    No epsilon is needed in the division: `plan_windows` covers every cell.
    """
    total = next(iter(weights.values())).new_zeros(canvas)
    add_to(total, weights.values(), weights)
    return {window: cells / crop(total, window) for window, cells in weights.items()}


def fusion_precision(canvas: Tensor) -> torch.dtype:
    """The dtype of sums: float32, or float64 for a float64 canvas."""
    return torch.promote_types(canvas.dtype, torch.float32)


class Fusion:
    """Weighted averages of views on one canvas: sum_i F_i^-1(W_i * x_i) / sum_i F_i^-1(W_i), MSD Eq. 6.

    Several averages of the same windows, such as cond and uncond, are computed together: one addition per window,
    because a small operation costs a GPU as much as a large one. Views are added batch by batch, so memory holds the
    averages and one batch.
    """

    def __init__(self, canvas: Tensor, weights: WindowWeights, count: int = 1):
        """Start `count` empty averages.

        Args:
            canvas: (B, ..., H, W); only shape, dtype and device are read.
            weights: `normalised` weights of every window.
            count: number of averages.
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
    """One average of all views (N*B, ..., height, width) on a canvas shaped like `canvas`; `normalised` weights."""
    fusion = Fusion(canvas, weights)
    fusion.add([views], windows)
    return fusion.result()[0]

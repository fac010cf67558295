"""MultiDiffusion: one canvas and many windows, which are denoised separately and fused at every step.

Bar-Tal et al., "MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation", 2023; Eq. 3-6 of Multi-Scale
Diffusion. The papers fuse x_{t-1}. Here the denoised predictions are fused, and any sampler steps with the result. Both
are linear, so they are equal for first-order samplers. For multistep samplers only fused predictions are correct: the
sampler then has one history, that of the canvas.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..canvas.fusion import WEIGHT_SHAPES, Fusion, WeightShape, WindowWeights, shared_weights
from ..canvas.windows import NO_OFFSET, NO_WRAP, Size, Window, Wrap, canvas_size, crop_batch, plan_windows
from ..denoiser import Denoiser
from .spotdiffusion import random_offset, side_by_side

Batch = Sequence[Window]
Predict = Callable[[Tensor, Batch], Sequence[Tensor]]
Each = Callable[[Callable[[Batch], Sequence[Tensor]], Collection[Batch]], Iterable[Sequence[Tensor]]]


@dataclass(frozen=True, kw_only=True)
class WindowParams:
    """How a canvas is divided into windows; sizes in latent cells."""

    window: Size  # the size that the model was trained on
    stride: Size  # largest distance between neighbouring windows, 1..window; overlap = window - stride
    wrap: Wrap = NO_WRAP  # edges that are joined
    weights: WeightShape = "feathered"  # in the fusion
    batch: int = 0  # most windows in one model call; 0 leaves it to the caller (ComfyUI decides by free memory)
    grid: int = 1  # the model's patch size or U-Net depth; windows and offsets are multiples of it
    offset: Size = NO_OFFSET  # how far the windows are moved, for Cross Sampling and moving windows
    moving: bool = False  # on the canvas itself, windows without overlap that move from step to step (`spotdiffusion`)
    seed: int = 0  # of the random offsets of moving windows

    def __post_init__(self) -> None:
        for axis, window, stride in zip(("height", "width"), self.window, self.stride, strict=True):
            if window < 1 or window % self.grid:
                raise ValueError(
                    f"window {axis}: must be a positive multiple of {self.grid} latent cells, got {window}."
                )
            if not 1 <= stride <= window:
                raise ValueError(
                    f"stride {axis}: must be in 1..{window} (the window), got {stride}; a larger stride leaves gaps."
                )
        if self.weights not in WEIGHT_SHAPES:
            raise ValueError(f"weights: must be one of {', '.join(WEIGHT_SHAPES)}, got {self.weights!r}.")
        if self.batch < 0:
            raise ValueError(f"batch: must be 0 (automatic) or more windows in one model call, got {self.batch}.")

    def plan(self, canvas: Size) -> tuple[Window, ...]:
        """The windows on a canvas of this size."""
        if self.moving:
            return side_by_side(canvas, self.window, self.wrap, self.grid, self.offset)
        return plan_windows(canvas, self.window, self.stride, self.wrap, self.grid, self.offset)

    def at(self, sigma: float) -> "WindowParams":
        """The windows at this noise level. They differ between noise levels only if they move."""
        if not self.moving:
            return self
        return replace(self, offset=random_offset(self.window, self.grid, self.seed, sigma))

    def overlapping(self) -> "WindowParams":
        """Windows with overlap that do not move: for coarse canvases and for SyncDiffusion."""
        return replace(self, moving=False, offset=NO_OFFSET)

    def batches(self, windows: Sequence[Window]) -> list[Sequence[Window]]:
        """These windows in batches of at most `batch`."""
        size = self.batch or len(windows)
        return [windows[start : start + size] for start in range(0, len(windows), size)]


def predict_jointly(
    x: Tensor,
    batches: Collection[Batch],
    predict: Predict,
    weights: WindowWeights,
    shifts: Mapping[Window, Tensor] | None = None,
    shift_kept: float = 0.0,
    each: Each = map,
) -> list[Tensor]:
    """Fuse one or more predictions of all windows; with `shifts`, the *effective* predictions of guided windows.

    Guidance by gradients shifts a view before it is denoised, x^_i = x_i + shift_i, and the papers step from the
    shifted view. A sampler steps from the canvas x. So it is given the prediction D_eff with which its own step gives
    the result of the papers. For a step x' = r x + (1 - r) D this is

        D_eff = (fuse(r x^_i + (1 - r) D(x^_i)) - r x) / (1 - r) = fuse(D(x^_i)) + r / (1 - r) fuse(shift_i)

    Args:
        x: (B, C, ..., H, W) noisy canvas.
        batches: the windows, all of one size, in the batches in which `predict` gets them.
        predict: (views (N*B, ...), N windows) -> predictions, each (N*B, ...): one, or cond and uncond, ...
        weights: `normalised` weights of every window.
        shifts: for every window the shift of its view, (B, C, ..., h, w).
        shift_kept: r / (1 - r), the factor above (`Step.shift_kept`); 0 if the step keeps nothing of x.
        each: calls a function with each batch, and gives what it returns in the order of the batches; may call at once.

    Returns:
        One canvas for each prediction.
    """

    def predicted(windows: Batch) -> Sequence[Tensor]:
        views = crop_batch(x, windows)
        if shifts is None:
            return predict(views, windows)
        shift = torch.cat([shifts[window] for window in windows])
        return [prediction + shift_kept * shift for prediction in predict(views + shift, windows)]

    fusion: Fusion | None = None
    for windows, predictions in zip(batches, each(predicted, batches), strict=True):
        fusion = fusion or Fusion(x, weights, len(predictions))
        fusion.add(predictions, windows)
    return fusion.result() if fusion else []


def denoise_jointly(
    x: Tensor,
    sigma: float,
    denoise: Denoiser,
    params: WindowParams,
    shifts: Mapping[Window, Tensor] | None = None,
    shift_kept: float = 0.0,
    weights: WindowWeights | None = None,
    each: Each = map,
) -> Tensor:
    """The fused prediction of a whole canvas x (B, C, ..., H, W). By default this is MultiDiffusion.

    `weights` are the `shared_weights` of the windows if None. Other arguments as in `predict_jointly`.
    """
    canvas = canvas_size(x)
    windows = params.plan(canvas)

    def predict(views: Tensor, windows: Sequence[Window]) -> tuple[Tensor]:
        return (denoise(views, sigma, windows, canvas),)

    weights = weights or shared_weights(params.weights, windows, x)
    (denoised,) = predict_jointly(x, params.batches(windows), predict, weights, shifts, shift_kept, each)
    return denoised

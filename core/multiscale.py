"""Multi-Scale Diffusion: low-resolution panoramas guide high-resolution windows.

Zhang et al., "Multi-Scale Diffusion: Enhancing Spatial Layout in High-Resolution Panoramic Image Generation", 2025,
Algorithm 1 and Eq. 9. At each step the canvas is downsampled scale by scale; the coarsest one, a few windows large,
is denoised by plain MultiDiffusion, and each finer one is guided towards it window by window before it is denoised.
Only the finest scale is carried to the next step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from .denoiser import Denoiser
from .guidance import DECAYS, Decay, Term, decayed, window_shifts
from .multidiffusion import WindowParams, denoise_jointly
from .resample import (
    DOWNSAMPLINGS,
    Downsampling,
    NoisyScale,
    at_own_noise_level,
    downsample,
    downsampled_size,
    upsample,
)
from .step import Step, signal
from .windows import Size, Window, canvas_size, crop_batch

Target = Literal["jacobian_free", "matched", "literal"]
TARGETS: tuple[Target, ...] = get_args(Target)

FACTOR = 2  # between neighbouring scales; the paper's setting
PAPER_WEIGHT = 10.0  # MSD Fig. 5


@dataclass(frozen=True, kw_only=True)
class MultiScaleParams:
    """What guides the windows, and how strongly.

    Attributes:
        scales: number of resolutions, the canvas included, 1..4; each is half of the one before. 1 is MultiDiffusion.
        target: what a window is compared with.
            `literal` is the paper's Eq. 9: the coarse canvas is denoised as if it had the noise level of the fine one,
            and both are compared after the step (at t - 1).
            `matched` denoises the coarse canvas at the noise level that it really has (`at_own_noise_level`) and
            compares denoised predictions.
            `jacobian_free` compares as `matched` does but leaves the model's Jacobian out of the gradient:
            x^ = x + (1 - r) weight / 10 us(target - ds(D(x))). At the weight 10 the window moves as far as the step,
            of which it is the part 1 - r, would take it to the target; so the number of steps does not matter. Two
            forward passes and no backward pass: it runs on quantized, offloaded and compiled models.
        weight: omega of Eq. 9, >= 0; the loss is a *sum* of squares, so it does not depend on the window size. Good
            are 10 to 20 for `jacobian_free`, 2 to 8 for `literal` and up to 4 for `matched`.
        decay: how the weight falls over the steps.
        stop: part of the steps after which guidance ends, 0..1 (v1 of the paper, Fig. 6: little is gained after 0.6).
        downsampling: ds in `literal`. The others need `mean`, whose noise level is known to fall.
    """

    scales: int = 2
    target: Target = "jacobian_free"
    weight: float = PAPER_WEIGHT
    decay: Decay = "cosine"
    stop: float = 1.0
    downsampling: Downsampling = "mean"

    def __post_init__(self) -> None:
        if not 1 <= self.scales <= 4:
            raise ValueError(f"scales: must be in 1..4, got {self.scales}.")
        if self.target not in TARGETS:
            raise ValueError(f"target: must be jacobian_free, matched or literal, got {self.target!r}.")
        if self.decay not in DECAYS:
            raise ValueError(f"decay: must be cosine or constant, got {self.decay!r}.")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: must be a number of at least 0, got {self.weight}.")
        if not 0 <= self.stop <= 1:
            raise ValueError(f"stop: must be in 0..1 (a part of the steps), got {self.stop}.")
        if self.downsampling not in DOWNSAMPLINGS:
            raise ValueError(f"downsampling: must be mean or strided, got {self.downsampling!r}.")
        if self.downsampling == "strided" and self.target != "literal":
            raise ValueError(
                f"downsampling: strided works with target literal only, got target {self.target}; choose mean."
            )

    @property
    def needs_gradients(self) -> bool:
        """Whether a backward pass through the model is needed."""
        return self.target != "jacobian_free"

    def weight_at(self, progress: float) -> float:
        """The weight at `progress` in [0, 1]; 0 where there is nothing to guide by."""
        return decayed(self.weight, self.decay, progress, self.stop) if self.scales > 1 else 0.0


def multiscale_term(
    x: Tensor, step: Step, denoise: Denoiser, windows: WindowParams, params: MultiScaleParams
) -> Term | None:
    """What pulls the windows of the canvas x towards its coarser scales, which are denoised first.

    None where guidance is off. All of Algorithm 1 but its last scale, whose windows other methods may guide as well.
    """
    weight = params.weight_at(step.progress)
    if weight == 0:
        return None
    kept = _kept(step, params)
    *finer, coarsest = _noisy_scales(x, step, params)
    target = _stepped(coarsest.x, denoise_jointly(coarsest.x, coarsest.sigma, denoise, windows), kept)
    for scale in reversed(finer[1:]):
        size = canvas_size(scale.x)
        term = _towards(target, size, step, weight, params)
        batches = windows.batches(windows.plan(size))
        shifts = window_shifts(scale.x, scale.sigma, step.flow, denoise, batches, [term])
        # Line 8 of Algorithm 1: the guided windows, stepped and fused.
        kept_of_shift = kept / (1 - kept)
        denoised = denoise_jointly(scale.x, scale.sigma, denoise, windows, shifts, kept_of_shift)
        target = _stepped(scale.x, denoised, kept)
    if params.target == "jacobian_free":
        # What is carried to the next step adds up, unseen while noise hides it from the model: as a rate it is the same
        # over many small steps as over a few large ones.
        weight *= step.replaced
    return _towards(target, canvas_size(x), step, weight, params)


def scale_sizes(canvas: Size, scales: int) -> list[Size]:
    """Sizes of the canvas at every scale, finest first."""
    sizes = [canvas]
    for _ in range(scales - 1):
        sizes.append(downsampled_size(sizes[-1], FACTOR))
    return sizes


def check_scales(canvas: Size, windows: WindowParams, params: MultiScaleParams) -> None:
    """Refuse a canvas whose coarser scales no model of this window can denoise.

    Raises:
        ValueError: a coarse canvas below half a window, where models fail, or one that wraps and is below a window, or
            one that cuts windows to a size off the model's grid.
    """
    for coarse in scale_sizes(canvas, params.scales)[1:]:
        for axis, side, window, wraps in zip(("height", "width"), coarse, windows.window, windows.wrap, strict=True):
            least = window if wraps else -(-window // 2)
            if side < least:
                rule = f"at least {least}{' (it wraps)' if wraps else ', half a window'}"
            elif side < window and side % windows.grid:
                rule = f"a multiple of {windows.grid}, the model's grid, as it is smaller than a window ({window})"
            else:
                continue
            raise ValueError(
                f"scales: with {params.scales} scales the {axis} of the canvas comes down to {side} latent cells and "
                f"must be {rule}. Use fewer scales (1 is plain MultiDiffusion) or a canvas of a larger {axis}."
            )


def _noisy_scales(x: Tensor, step: Step, params: MultiScaleParams) -> list[NoisyScale]:
    """z^S ... z^1 of Algorithm 1, finest first, each with the noise level that the model will be told."""
    scales = [NoisyScale(x, step.sigma)]
    for _ in range(params.scales - 1):
        fine = scales[-1]
        if params.target == "literal":
            scales.append(NoisyScale(downsample(fine.x, FACTOR, params.downsampling), step.sigma))
        else:
            scales.append(at_own_noise_level(fine.x, fine.sigma, FACTOR, step.flow))
    return scales


def _kept(step: Step, params: MultiScaleParams) -> float:
    """Literally, both scales are compared after the step, r z + (1 - r) D; else their denoised predictions are."""
    return step.kept if params.target == "literal" else 0.0


def _towards(target: Tensor, canvas: Size, step: Step, weight: float, params: MultiScaleParams) -> Term:
    """Eq. 9 for the windows of a canvas: the loss that compares them with `target`, the next coarser scale."""
    kept = _kept(step, params)
    # Upsampled once, then cropped and downsampled by each window on its own cells: for windows on even offsets this is
    # exactly F_i' of the paper, and for the others (the last one before an edge) it is right as well.
    target = upsample(target, FACTOR, canvas)
    if params.target == "jacobian_free":
        # The gradient of the sum of squares is 2 ds^T (ds(D) - target), and ds^T of a mean is us / FACTOR^2.
        weight = weight / PAPER_WEIGHT * FACTOR**2 / 2
    # What is compared literally is still noisy; of flow models it is smaller than x0 + s n by the signal in it.
    weight = weight / signal(kept * step.sigma, step.flow) ** 2

    def loss(views: Tensor, denoised: Tensor, windows: Sequence[Window]) -> Tensor:
        wanted = downsample(crop_batch(target, windows), FACTOR)
        seen = downsample(_stepped(views, denoised, kept), FACTOR, params.downsampling)
        return weight * (seen - wanted).square().sum()

    return Term(loss=loss, jacobian_free=not params.needs_gradients)


def _stepped(x: Tensor, denoised: Tensor, kept: float) -> Tensor:
    return kept * x + (1 - kept) * denoised if kept else denoised

"""Multi-Scale Diffusion: low-resolution panoramas guide high-resolution windows.

Zhang et al., "Multi-Scale Diffusion: Enhancing Spatial Layout in High-Resolution Panoramic Image Generation", 2025,
Algorithm 1 and Eq. 9. At each step the canvas is downsampled scale by scale; the coarsest one, a few windows large,
is denoised by plain MultiDiffusion, and each finer one is guided towards it window by window before it is denoised.
Only the finest scale is carried to the next step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from .denoiser import Denoiser
from .guidance import Decay, decayed, gradient
from .multidiffusion import WindowParams, denoise_jointly, shift_kept
from .resample import Downsampling, NoisyScale, at_own_noise_level, downsample, downsampled_size, upsample
from .windows import Size, Window, canvas_size, crop_batch

Target = Literal["jacobian_free", "matched", "literal"]

FACTOR = 2  # between neighbouring scales; the paper's setting
PAPER_WEIGHT = 10.0  # MSD Fig. 5: best near 10, collapse near 20


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
            x^ = x + weight / 10 * us(target - ds(D(x))). Two forward passes and no backward pass, so it runs on
            quantized, offloaded and compiled models.
        weight: omega of Eq. 9, >= 0; the loss is a *sum* of squares, so it does not depend on the window size.
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
        if self.target not in ("jacobian_free", "matched", "literal"):
            raise ValueError(f"target: must be jacobian_free, matched or literal, got {self.target!r}.")
        if self.decay not in ("cosine", "constant"):
            raise ValueError(f"decay: must be cosine or constant, got {self.decay!r}.")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: must be a number of at least 0, got {self.weight}.")
        if not 0 <= self.stop <= 1:
            raise ValueError(f"stop: must be in 0..1 (a part of the steps), got {self.stop}.")
        if self.downsampling not in ("mean", "strided"):
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


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where in the sampling a prediction is asked for.

    Attributes:
        sigma: noise level of x.
        kept: the part of x that the sampler's step keeps, r in x' = r x + (1 - r) D; sigma_next / sigma for Euler.
        progress: steps done so far / all steps, 0 <= progress < 1.
        flow: whether x = (1 - sigma) x0 + sigma n (flow models) rather than x0 + sigma n.
    """

    sigma: float
    kept: float
    progress: float
    flow: bool = False


def denoise_multiscale(
    x: Tensor, step: Step, denoise: Denoiser, windows: WindowParams, params: MultiScaleParams
) -> Tensor:
    """The effective denoised prediction of one multi-scale step on a canvas x (B, C, ..., H, W)."""
    shifts = window_shifts(x, step, denoise, windows, params)
    return denoise_jointly(x, step.sigma, denoise, windows, shifts, shift_kept(step.kept))


def window_shifts(
    x: Tensor, step: Step, denoise: Denoiser, windows: WindowParams, params: MultiScaleParams
) -> dict[Window, Tensor] | None:
    """x^_i - x_i for every window of the finest scale, (B, C, ..., h, w) each; None where guidance is off."""
    weight = params.weight_at(step.progress)
    if weight == 0:
        return None
    # Literally, both scales are compared after the step (r z + (1 - r) D); else their denoised predictions are (r = 0).
    kept = step.kept if params.target == "literal" else 0.0
    *finer, coarsest = _noisy_scales(x, step, params)
    target = _stepped(coarsest.x, denoise_jointly(coarsest.x, coarsest.sigma, denoise, windows), kept)
    shifts: dict[Window, Tensor] = {}
    for scale in reversed(finer):
        shifts = dict(_shifts_towards(target, scale, kept, weight, denoise, windows, params))
        if scale is not finer[0]:
            target = _guided_step(scale, shifts, kept, denoise, windows)
    return shifts


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


def _shifts_towards(
    target: Tensor,
    scale: NoisyScale,
    kept: float,
    weight: float,
    denoise: Denoiser,
    windows: WindowParams,
    params: MultiScaleParams,
) -> Iterator[tuple[Window, Tensor]]:
    """MULTI-SCALE DIFFUSER of Algorithm 1: guide every window of `scale` towards `target`, the next coarser scale."""
    canvas = canvas_size(scale.x)
    # Upsampled once, then cropped and downsampled by each window on its own cells: for windows on even offsets this is
    # exactly F_i' of the paper, and for the others (the last one before an edge) it is right as well.
    target = upsample(target, FACTOR, canvas)
    for batch in windows.batches(canvas):
        wanted = downsample(crop_batch(target, batch), FACTOR)
        views = crop_batch(scale.x, batch)

        def denoise_batch(views: Tensor, batch: Sequence[Window] = batch) -> Tensor:
            return denoise(views, scale.sigma, batch, canvas)

        shift = _shift(views, wanted, kept, weight, denoise_batch, params)
        yield from zip(batch, shift.chunk(len(batch)), strict=True)


def _shift(
    views: Tensor,
    wanted: Tensor,
    kept: float,
    weight: float,
    denoise: Callable[[Tensor], Tensor],
    params: MultiScaleParams,
) -> Tensor:
    """-omega times the gradient of Eq. 9 for one batch of views, or the jacobian-free step in its place."""

    def coarse_step(views: Tensor) -> Tensor:
        return downsample(_stepped(views, denoise(views), kept), FACTOR, params.downsampling)

    if not params.needs_gradients:
        return weight / PAPER_WEIGHT * upsample(wanted - coarse_step(views), FACTOR, canvas_size(views))
    return -weight * gradient(lambda moved: (coarse_step(moved) - wanted).square().sum(), views)


def _guided_step(
    scale: NoisyScale, shifts: Mapping[Window, Tensor], kept: float, denoise: Denoiser, windows: WindowParams
) -> Tensor:
    """Fuse the guided windows of a middle scale, stepped: line 8 of Algorithm 1."""
    denoised = denoise_jointly(scale.x, scale.sigma, denoise, windows, shifts, shift_kept(kept))
    return _stepped(scale.x, denoised, kept)


def _stepped(x: Tensor, denoised: Tensor, kept: float) -> Tensor:
    return kept * x + (1 - kept) * denoised if kept else denoised

"""One step of joint diffusion: all methods at once, in this order.

1. Cross Sampling decides which windows the step has: everything after it is about these windows.
2. Multi-Scale Diffusion denoises the coarser scales: what it wants of the windows depends on the canvas alone.
3. Every window is looked at once, and moved against the gradient of *all* losses together: those of Multi-Scale
   Diffusion and SyncDiffusion. Both are gradients at the same x in their papers, so a sum treats them alike, needs one
   evaluation of the model instead of one for each, and leaves no order to choose. Only the finest scale is
   synchronised, since only that is carried to the next step.
4. The moved windows are denoised. This is the prediction that CFG, its hooks and the sampler see; ControlNets, masks
   and areas act inside it, as they do without windows.
5. Crop Fusion aligns neighbours, and the average of all windows is the canvas. Last, because it mends what the windows
   disagree about after guidance. Both are linear, so together they are a weighted average (`crop_fusion_weights`).

Unguided canvases skip 2 and 3, so MultiDiffusion alone is 4 and 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from .denoiser import Denoiser
from .fusion import WindowWeights, fusion_precision, normalised, shared_weights
from .guidance import Term, window_shifts
from .multidiffusion import WindowParams, predict_jointly
from .multiscale import MultiScaleParams, check_scales, multiscale_term
from .similarity import LatentSimilarity, Similarity
from .step import Step
from .syncdiffusion import SyncParams, anchors_first, sync_term
from .twindiffusion import CropFusionParams, CrossSamplingParams, crop_fusion_weights
from .windows import Size, Window, canvas_size


@dataclass(frozen=True, kw_only=True)
class JointParams:
    """Which methods act, each None where it is off."""

    windows: WindowParams
    multiscale: MultiScaleParams | None = None
    sync: SyncParams | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None

    @property
    def guided(self) -> bool:
        """Whether any step may move windows."""
        multiscale = self.multiscale is not None and self.multiscale.weight_at(0.0) > 0
        return multiscale or (self.sync is not None and self.sync.weight > 0 and self.sync.stop > 0)

    @property
    def differs_by_step(self) -> bool:
        """Whether any step may differ from the others in more than its noise level."""
        return self.guided or self.crop_fusion is not None or self.cross_sampling is not None

    def windows_at(self, step: Step) -> WindowParams:
        """The windows of this step."""
        if self.cross_sampling is None:
            return self.windows
        return replace(self.windows, shift=self.cross_sampling.shift_at(step, self.windows))

    def multiscale_at(self, step: Step) -> MultiScaleParams | None:
        """Multi-Scale Diffusion, if it moves windows in this step."""
        on = self.multiscale is not None and self.multiscale.weight_at(step.progress) > 0
        return self.multiscale if on else None

    def sync_at(self, step: Step) -> SyncParams | None:
        """SyncDiffusion, if it moves windows in this step."""
        return self.sync if self.sync is not None and self.sync.weight_at(step) > 0 else None

    def crop_fusion_at(self, step: Step) -> CropFusionParams | None:
        """Crop Fusion, if it is on in this step."""
        return self.crop_fusion if self.crop_fusion is not None and self.crop_fusion.is_on(step) else None

    def is_guided(self, step: Step) -> bool:
        """Whether windows are moved in this step."""
        return self.multiscale_at(step) is not None or self.sync_at(step) is not None

    def needs_gradients(self, step: Step) -> bool:
        """Whether this step goes backward through the model."""
        multiscale, sync = self.multiscale_at(step), self.sync_at(step)
        return (multiscale is not None and multiscale.needs_gradients) or (sync is not None and not sync.jacobian_free)


def check_canvas(canvas: Size, params: JointParams) -> None:
    """Refuse a canvas that the methods cannot work on, before the first step.

    Raises:
        ValueError: a single window, which has nothing to be synchronised with; and see `plan_windows`,
            `CrossSamplingParams.check` and `check_scales`.
    """
    windows = params.windows.plan(canvas)
    if params.sync is not None and params.sync.weight > 0 and len(windows) == 1:
        raise ValueError(
            f"sync guidance: one window of {windows[0].width} x {windows[0].height} latent cells covers this canvas, "
            "so there is nothing to synchronise it with; make the canvas larger, the windows smaller, or turn Sync "
            "Guidance off."
        )
    if params.cross_sampling is not None:
        params.cross_sampling.check(params.windows, canvas)
    if params.multiscale is not None and params.multiscale.weight_at(0.0) > 0:
        check_scales(canvas, params.windows, params.multiscale)


def denoise_step(
    x: Tensor, step: Step, denoise: Denoiser, params: JointParams, similarity: Similarity | None = None
) -> Tensor:
    """The effective denoised prediction of a canvas x (B, C, ..., H, W), with which any sampler steps.

    `similarity` is what SyncDiffusion compares, `LatentSimilarity` if nothing is given.
    """
    shifts = guidance_shifts(x, step, denoise, params, similarity)
    canvas, windows = canvas_size(x), params.windows_at(step)

    def predict(views: Tensor, batch: Sequence[Window]) -> tuple[Tensor]:
        return (denoise(views, step.sigma, batch, canvas),)

    batches = windows.batches(windows.plan(canvas))
    (denoised,) = predict_jointly(x, batches, predict, fusion_weights(x, step, params), shifts, step.shift_kept)
    return denoised


def guidance_shifts(
    x: Tensor, step: Step, denoise: Denoiser, params: JointParams, similarity: Similarity | None = None
) -> dict[Window, Tensor] | None:
    """Parts 2 and 3: x^_i - x_i for every window of the step, (B, C, ..., h, w) each; None where none is moved."""
    windows, canvas = params.windows_at(step), canvas_size(x)
    plan = windows.plan(canvas)
    terms: list[Term] = []
    if params.multiscale is not None and (term := multiscale_term(x, step, denoise, windows, params.multiscale)):
        terms.append(term)
    if params.sync is not None:
        anchor_of = params.sync.anchor_of(plan, canvas, windows.wrap)
        if term := sync_term(anchor_of, step, params.sync, similarity or LatentSimilarity()):
            terms.append(term)
            plan = anchors_first(plan, anchor_of)
    if not terms:
        return None
    return window_shifts(x, step.sigma, step.flow, denoise, windows.batches(plan), terms)


def fusion_weights(x: Tensor, step: Step, params: JointParams) -> WindowWeights:
    """Part 5: the normalised weights of every window of the step, with Crop Fusion in them while it is on."""
    windows, canvas, precision = params.windows_at(step), canvas_size(x), fusion_precision(x)
    fusion = params.crop_fusion_at(step)
    if fusion is None:
        return normalised(shared_weights(windows.weights, windows.plan(canvas), x.device, precision), canvas)
    aligned = _aligned_weights(windows, canvas, fusion.adjacency).to(x.device, precision)
    return normalised(dict(zip(windows.plan(canvas), aligned, strict=True)), canvas)


@lru_cache(maxsize=16)  # one for each turn of Cross Sampling; in main memory, which a device has more need of
def _aligned_weights(windows: WindowParams, canvas: Size, adjacency: float) -> Tensor:
    """(N, h, w) for the N windows on the canvas."""
    plan = windows.plan(canvas)
    plain = shared_weights(windows.weights, plan, torch.device("cpu"), torch.float64)
    aligned = crop_fusion_weights(plan, plain, canvas, windows.wrap, adjacency)
    return torch.stack([aligned[window] for window in plan])

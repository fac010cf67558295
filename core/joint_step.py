"""One step of joint diffusion: all methods at once, in this order.

1. The windows of the step: where Cross Sampling or moving windows have them at this noise level.
2. Multi-Scale Diffusion denoises the next coarser canvas, by this very step with one scale less: so it has its own
   coarser canvas to follow, and is synchronised as well.
3. Every window is looked at once. ControlNets, masks and areas act inside of it, as they do without windows.
4. Crop Fusion aligns neighbours, and the average of all windows is the canvas. Both are linear, so together they are a
   weighted average (`crop_fusion_weights`).
5. The canvas is corrected: SyncDiffusion gives distant windows one look, then Multi-Scale Diffusion puts the layout
   right. This is the prediction that the sampler steps with.

`guidance: gradient` is the papers' other way for Multi-Scale Diffusion and SyncDiffusion: before 3, every window is
looked at once more and moved against the gradient of *all* such losses together. Both are gradients at the same x in
their papers, so a sum treats them alike and needs one evaluation of the model instead of one for each.

Who has a model of views calls `denoise_step`. Who fuses windows elsewhere, as ComfyUI's nodes must, calls its parts:
`guidance_shifts`, then `predict_canvas`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from .canvas.fusion import WindowWeights, fusion_precision, normalised, shared_weights
from .canvas.resample import at_own_noise_level, downsampled_size
from .canvas.windows import Size, Window, canvas_size
from .correction import Correction, in_turn
from .denoiser import Denoiser
from .methods.gradient_guidance import Term, window_shifts
from .methods.multidiffusion import WindowParams, predict_jointly
from .methods.multiscale import FACTOR, MultiScaleParams, check_scales, multiscale_term, projection
from .methods.scale_map import ScaleMap
from .methods.structure import StructureParams
from .methods.syncdiffusion import SyncParams, anchors_first, sync_term, synchronised
from .methods.twindiffusion import CropFusionParams, CrossSamplingParams, crop_fusion_weights
from .perception.similarity import LatentSimilarity, Similarity
from .step import Step

Comparing = Callable[[Tensor], AbstractContextManager[Similarity]]
"""What SyncDiffusion compares windows by, made ready for a denoised canvas."""
Weigh = Callable[[Tensor, Step, bool], WindowWeights]
"""The fusion weights of a canvas (B, C, ..., H, W), which may be a coarse one, in a step."""


@dataclass(frozen=True, kw_only=True)
class JointParams:
    """Which methods act, each None where it is off."""

    windows: WindowParams
    multiscale: MultiScaleParams | None = None
    structure: StructureParams | None = None
    sync: SyncParams | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None

    @property
    def guided(self) -> bool:
        """Whether any step is guided."""
        multiscale = self.multiscale is not None and self.multiscale.is_on
        structure = self.structure is not None and self.structure.strength > 0
        return multiscale or structure or (self.sync is not None and self.sync.weight > 0)

    @property
    def differs_by_step(self) -> bool:
        """Whether any step may differ from the others in more than its noise level."""
        return self.guided or self.windows.moving or self.crop_fusion is not None or self.cross_sampling is not None

    @property
    def needs_gradients(self) -> bool:
        """Whether windows are moved against gradients through the model."""
        multiscale, sync = self.multiscale, self.sync
        return (multiscale is not None and multiscale.is_on and multiscale.needs_gradients) or (
            sync is not None and sync.weight > 0 and sync.needs_gradients
        )

    def windows_at(self, step: Step, coarse: bool = False) -> WindowParams:
        """The windows of this step, on the canvas or on a coarse one.

        On a coarse canvas windows never move: more looks make the layout better, and they are few.
        """
        windows = self.windows.overlapping() if coarse else self.windows.at(step.sigma)
        if self.cross_sampling is None:
            return windows
        return replace(windows, offset=self.cross_sampling.offset_at(step, windows))

    def crop_fusion_at(self, step: Step) -> CropFusionParams | None:
        """Crop Fusion, if it is on in this step."""
        return self.crop_fusion if self.crop_fusion is not None and self.crop_fusion.is_on(step) else None

    def follows_picture(self, step: Step) -> bool:
        """Whether the coarsest canvas of this step is a picture that is given."""
        return self.structure is not None and self.structure.strength_at(step) > 0

    def coarser_scales(self, canvas: Size, step: Step) -> int:
        """How many coarser canvases this one follows in this step, a picture that is given among them."""
        if self.structure is not None:  # it has the layout, which Multi-Scale Diffusion would only guess
            return self.structure.scales - 1 if self.follows_picture(step) else 0
        if self.multiscale is None or self.multiscale.strength_at(step) == 0:
            return 0
        return self.multiscale.scales_of(canvas, self.windows) - 1


@dataclass(frozen=True, kw_only=True)
class Aids:
    """What methods may use beside the model.

    Attributes:
        comparing: what SyncDiffusion compares windows by; their latents if nothing is given.
        scale_map: C of Multi-Scale Diffusion; None takes a coarse canvas as it is.
        picture: the latent (1 or B, C, ..., h, w) whose structure the canvas keeps (`StructureParams.picture_size`).
    """

    comparing: Comparing = field(default=lambda _denoised: nullcontext(LatentSimilarity()))
    scale_map: ScaleMap | None = None
    picture: Tensor | None = None


NO_AIDS = Aids()


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a canvas through windows, and what becomes of it.

    Attributes:
        params: the windows.
        weights: of every window in the fusion, normalised.
        shifts: what guidance by gradients adds to each view (`predict_jointly`), or None.
        shift_kept: likewise.
        correct: what corrects the fused prediction after classifier-free guidance, or None.
    """

    params: WindowParams
    weights: WindowWeights
    shifts: Mapping[Window, Tensor] | None = None
    shift_kept: float = 0.0
    correct: Correction | None = None


class CanvasDenoiser(Protocol):
    """A model that looks at a whole canvas through windows."""

    def __call__(self, x: Tensor, sigma: float, look: Look) -> Tensor:
        """The fused, corrected prediction of the canvas x (B, C, ..., H, W) at its noise level sigma."""
        ...


def check_canvas(canvas: Size, params: JointParams) -> None:
    """Refuse a canvas that the methods cannot work on, before the first step.

    Raises:
        ValueError: a single window, which has nothing to be synchronised with; moving windows together with Cross
            Sampling; and see `plan_windows`, `CrossSamplingParams.check` and `check_scales`.
    """
    windows = params.windows.plan(canvas)
    if params.sync is not None and params.sync.weight > 0 and len(windows) == 1:
        raise ValueError(
            f"sync guidance: one window of {windows[0].width} x {windows[0].height} latent cells covers this canvas, "
            "so there is nothing to synchronise it with; make the canvas larger, the windows smaller, or turn Sync "
            "Guidance off."
        )
    if params.cross_sampling is not None:
        if params.windows.moving:
            raise ValueError(
                "cross_sampling: windows that move do already what Cross Sampling does; turn Cross Sampling off, or "
                "choose overlapping windows."
            )
        params.cross_sampling.check(params.windows, canvas)
    if params.structure is not None and params.multiscale is not None and params.multiscale.is_on:
        raise ValueError(
            "structure: the picture decides the layout already, which Multi-Scale Diffusion would decide again; turn "
            "one of the two off."
        )
    if params.multiscale is not None and params.multiscale.is_on:
        check_scales(canvas, params.windows, params.multiscale)


def denoise_step(x: Tensor, step: Step, denoise: Denoiser, params: JointParams, aids: Aids = NO_AIDS) -> Tensor:
    """The effective denoised prediction of a canvas x (B, C, ..., H, W), with which any sampler steps.

    Raises:
        FloatingPointError: a latent or a prediction that is not finite; names the step and the place.
    """
    _require_finite(x, step, "the latent")

    def predict(x: Tensor, sigma: float, look: Look) -> Tensor:
        size = canvas_size(x)
        batches = look.params.batches(look.params.plan(size))
        predictions = predict_jointly(
            x, batches, lambda views, batch: (denoise(views, sigma, batch, size),), look.weights, look.shifts,
            look.shift_kept,
        )  # fmt: skip
        return look.correct(predictions[0]) if look.correct else predictions[0]

    with nullcontext() if not params.needs_gradients else aids.comparing(x) as similarity:
        shifts = guidance_shifts(x, step, denoise, params, similarity)
    denoised = predict_canvas(x, step, predict, params, aids, shifts=shifts)
    _require_finite(denoised, step, "the prediction")
    return denoised


def predict_canvas(
    x: Tensor,
    step: Step,
    predict: CanvasDenoiser,
    params: JointParams,
    aids: Aids = NO_AIDS,
    *,
    shifts: Mapping[Window, Tensor] | None = None,
    weigh: Weigh | None = None,
) -> Tensor:
    """Parts 1 to 5 for a model that fuses its windows itself; `shifts` are those of `guidance_shifts`.

    `weigh` is `fusion_weights` for a caller that keeps them from step to step.
    """

    def denoised(canvas: Tensor, sigma: float, coarser: int, shifts: Mapping[Window, Tensor] | None = None) -> Tensor:
        coarse = canvas is not x
        look = Look(
            params=params.windows_at(step, coarse),
            weights=weigh(canvas, step, coarse) if weigh else fusion_weights(canvas, step, params, coarse),
            shifts=shifts,
            shift_kept=step.shift_kept if shifts else 0.0,
            correct=correction(canvas, sigma, coarser),
        )
        return predict(canvas, sigma, look)

    def correction(canvas: Tensor, sigma: float, coarser: int) -> Correction | None:
        corrections: list[Correction] = []
        sync, multiscale, structure = params.sync, params.multiscale, params.structure
        if sync is not None and not sync.needs_gradients and sync.weight_at(step) > 0:

            def synchronise(denoised: Tensor, sync: SyncParams = sync) -> Tensor:
                with aids.comparing(denoised) as similarity:
                    return synchronised(denoised, step, params.windows, sync, similarity)

            corrections.append(synchronise)
        leader = structure or (None if multiscale is None or multiscale.needs_gradients else multiscale)
        if leader is not None and coarser:
            if structure is not None and coarser == 1:
                target = _picture_for(canvas, structure, aids.picture)
            else:
                below = at_own_noise_level(canvas, sigma, FACTOR, step.flow)
                target = denoised(below.x, below.sigma, coarser - 1)
            corrections.append(projection(target, leader.strength_at(step), params.windows.wrap, aids.scale_map))
        return in_turn(corrections)

    return denoised(x, step.sigma, params.coarser_scales(canvas_size(x), step), shifts)


def guidance_shifts(
    x: Tensor, step: Step, denoise: Denoiser, params: JointParams, similarity: Similarity | None = None
) -> dict[Window, Tensor] | None:
    """For `guidance: gradient`: x^_i - x_i for every window of the step, (B, C, ..., h, w) each; None without."""
    windows, canvas = params.windows_at(step), canvas_size(x)
    plan: Sequence[Window] = windows.plan(canvas)
    terms: list[Term] = []
    multiscale, sync = params.multiscale, params.sync
    if multiscale is not None and multiscale.needs_gradients:
        term = multiscale_term(x, step, denoise, params.windows_at(step, coarse=True), multiscale)
        terms += [term] if term else []
    if sync is not None and sync.needs_gradients:
        anchor_of = sync.anchor_of(plan, canvas, windows.wrap)
        if term := sync_term(anchor_of, step, sync, similarity or LatentSimilarity()):
            terms.append(term)
            plan = anchors_first(plan, anchor_of)
    return window_shifts(x, step, denoise, windows.batches(plan), terms) if terms else None


def fusion_weights(x: Tensor, step: Step, params: JointParams, coarse: bool = False) -> WindowWeights:
    """Part 4: the normalised weights of every window of the step, with Crop Fusion in them while it is on."""
    windows, canvas, precision = params.windows_at(step, coarse), canvas_size(x), fusion_precision(x)
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


def _picture_for(canvas: Tensor, structure: StructureParams, picture: Tensor | None) -> Tensor:
    """The picture that is followed at the last but one scale, whose canvas is twice as large."""
    wanted = downsampled_size(canvas_size(canvas), FACTOR)
    if picture is None or canvas_size(picture) != wanted:
        given = "none" if picture is None else f"{picture.shape[-1]} x {picture.shape[-2]}"
        raise ValueError(
            f"structure: with {structure.scales} scales the picture must be {wanted.width} x {wanted.height} latent "
            f"cells, got {given}."
        )
    return picture


def _require_finite(canvas: Tensor, step: Step, what: str) -> None:
    finite = canvas.isfinite()
    if not bool(finite.all()):
        raise FloatingPointError(not_finite(what, str(step), ~finite))


def not_finite(what: str, when: str, where: Tensor) -> str:
    """What to say of numbers that are not finite, `where` (B, C, ..., H, W) is true."""
    rows, columns = where.flatten(0, -3).any(0).nonzero(as_tuple=True)
    return (
        f"{when}: {what} is not finite (NaN or infinite) at x {int(columns.min())}..{int(columns.max())}, "
        f"y {int(rows.min())}..{int(rows.max())} (latent cells); run the model in higher precision, or look at what "
        "was connected for the latent."
    )

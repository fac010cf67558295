"""One step of joint diffusion, with all methods, in this order:

1. The windows of the step are chosen. Cross Sampling and moving windows place them by the noise level.
2. Multi-Scale Diffusion denoises the next coarser canvas. This is the same step with one scale less, so that canvas
   has its own coarser canvas, and SyncDiffusion acts on it as well.
3. The model denoises the view of every window once. ControlNets, masks and areas are cropped like the canvas.
4. The views are fused to a canvas by a weighted average. Crop Fusion changes only the weights (`crop_fusion_weights`).
5. The canvas is corrected: first SyncDiffusion gives all windows one appearance, then Multi-Scale Diffusion corrects
   the layout. The sampler steps with the result.

`guidance: gradient` is the way of the papers for Multi-Scale Diffusion and SyncDiffusion. Before 3, the model denoises
every view once more, and the view is shifted against the gradient of the sum of both losses. In the papers both
gradients are taken at the same x, so the sum needs one evaluation of the model instead of two.

Call `denoise_step` if you have a model of views. If the windows are fused elsewhere, as in ComfyUI's nodes, call
`guidance_shifts` and then `predict_canvas`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial

import torch
from torch import Tensor

from .canvas.fusion import WindowWeights, fusion_precision, normalised, shared_weights, window_weights
from .canvas.resample import at_own_noise_level, downsample
from .canvas.windows import Size, Window, canvas_size
from .correction import Correction, in_turn
from .denoiser import Denoiser
from .joint_params import JointParams
from .methods.gradient_guidance import Term, window_shifts
from .methods.multidiffusion import Each, WindowParams, denoise_jointly
from .methods.multiscale import FACTOR, multiscale_term, projection
from .methods.scale_map import ScaleMap
from .methods.structure import StructureParams
from .methods.syncdiffusion import SyncParams, anchors_first, sync_term, synchronised
from .methods.twindiffusion import crop_fusion_weights
from .perception.similarity import LatentSimilarity, Similarity
from .step import Step

Comparing = Callable[[Tensor], AbstractContextManager[Similarity]]
"""For a canvas, the similarity by which SyncDiffusion compares its windows. It is ready inside the context."""
Weigh = Callable[[Tensor, Step, WindowParams], WindowWeights]
"""(canvas (B, C, ..., H, W), step, the windows of the canvas) -> the weights of the fusion."""


@dataclass(frozen=True, kw_only=True)
class Aids:
    """What methods use beside the model."""

    comparing: Comparing = field(default=lambda _canvas: nullcontext(LatentSimilarity()))
    scale_map: ScaleMap | None = None  # C of Multi-Scale Diffusion; None is the identity
    picture: Tensor | None = None  # (1 or B, C, ..., h, w) the latent to keep, of `StructureParams.picture_size`
    each: Each = map  # of `denoise_step`: calls the model for each batch of windows, as in `predict_jointly`


NO_AIDS = Aids()


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a canvas is denoised: through which windows, and what is done with their predictions."""

    params: WindowParams
    weights: WindowWeights  # `normalised`
    shifts: Mapping[Window, Tensor] | None = None  # guidance by gradients, as in `predict_jointly`
    shift_kept: float = 0.0
    correct: Correction | None = None  # of the fused prediction, after classifier-free guidance


CanvasDenoiser = Callable[[Tensor, float, Look], Tensor]
"""(canvas x (B, C, ..., H, W), its noise level, how to denoise it) -> the fused and corrected prediction."""


def denoise_step(x: Tensor, step: Step, denoise: Denoiser, params: JointParams, aids: Aids = NO_AIDS) -> Tensor:
    """The denoised prediction of a canvas x (B, C, ..., H, W), with which any sampler steps.

    Raises:
        FloatingPointError: the latent, a gradient or the prediction is not finite; names step and place.
    """
    _require_finite(x, step, "the latent")

    def predict(x: Tensor, sigma: float, look: Look) -> Tensor:
        shifts, kept, weights = look.shifts, look.shift_kept, look.weights
        fused = denoise_jointly(x, sigma, denoise, look.params, shifts, kept, weights, aids.each)
        return look.correct(fused) if look.correct else fused

    with aids.comparing(x) if params.needs_gradients else nullcontext() as similarity:
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
    """Parts 1 to 5 of the step for a model that fuses windows itself: the denoised prediction of x (B, C, ..., H, W).

    `predict` is called for the coarser canvases and for x. `shifts` are those of `guidance_shifts`. A caller that
    stores weights gives `weigh` in place of `fusion_weights`.
    """
    sync, multiscale, structure = params.sync, params.multiscale, params.followed

    def denoised(canvas: Tensor, sigma: float, coarser: int, shifts: Mapping[Window, Tensor] | None = None) -> Tensor:
        """The prediction of a canvas that follows so many coarser ones."""
        windows = params.windows_at(step, coarse=canvas is not x)
        corrections: list[Correction] = []
        if sync is not None and not sync.needs_gradients and sync.weight_at(step) > 0:
            corrections.append(partial(synchronise, sync))
        if coarser:
            corrections.append(towards_coarser(canvas, sigma, coarser))
        look = Look(
            params=windows,
            weights=weigh(canvas, step, windows) if weigh else fusion_weights(canvas, step, params, windows),
            shifts=shifts,
            shift_kept=step.shift_kept if shifts else 0.0,
            correct=in_turn(corrections),
        )
        return predict(canvas, sigma, look)

    def synchronise(sync: SyncParams, denoised: Tensor) -> Tensor:
        with aids.comparing(denoised) as similarity:
            return synchronised(denoised, step, params.windows, sync, similarity)

    def towards_coarser(canvas: Tensor, sigma: float, coarser: int) -> Correction:
        """To the next coarser canvas: the picture, if it is the last one and there is a picture; else denoised here."""
        if structure is not None and coarser == 1:
            picture = _picture_for(canvas, structure, aids.picture)
            return projection(picture, structure.strength_at(step), params.windows.wrap)
        target = denoised(*at_own_noise_level(canvas, sigma, FACTOR, step.flow), coarser - 1)
        strength = structure.strength_between(step) if structure is not None else multiscale_strength
        return projection(target, strength, params.windows.wrap, aids.scale_map)

    by_gradients = structure is None and multiscale is not None and multiscale.needs_gradients
    multiscale_strength = multiscale.strength_at(step) if multiscale is not None else 0.0
    # Gradients act by `shifts`, which have looked at the coarser canvases already.
    coarser = 0 if by_gradients else params.coarser_scales(canvas_size(x), step)
    return denoised(x, step.sigma, coarser, shifts)


def guidance_shifts(
    x: Tensor, step: Step, denoise: Denoiser, params: JointParams, similarity: Similarity | None = None
) -> dict[Window, Tensor] | None:
    """The shifts x^_i - x_i of `guidance: gradient`, (B, C, ..., h, w) for every window of the step; None without."""
    if step.kept == 1:
        return None  # a step between two equal noise levels goes nowhere
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


def fusion_weights(x: Tensor, step: Step, params: JointParams, windows: WindowParams) -> WindowWeights:
    """Part 4 of the step: the `normalised` weights of every window, which include Crop Fusion while it is on."""
    canvas = canvas_size(x)
    plan, fusion = windows.plan(canvas), params.crop_fusion_at(step)
    if fusion is None:
        return shared_weights(windows.weights, plan, x)
    aligned = _aligned_weights(windows, canvas, fusion.adjacency).to(x.device, fusion_precision(x))
    return normalised(dict(zip(plan, aligned, strict=True)), canvas)


@lru_cache(maxsize=16)  # one for each turn of Cross Sampling; in main memory, because device memory is scarce
def _aligned_weights(windows: WindowParams, canvas: Size, adjacency: float) -> Tensor:
    """(N, h, w) weights of Crop Fusion for the N windows on the canvas, float64."""
    plan = windows.plan(canvas)
    plain = dict.fromkeys(plan, window_weights(windows.weights, plan[0].size).double())
    aligned = crop_fusion_weights(plan, plain, canvas, windows.wrap, adjacency)
    return torch.stack([aligned[window] for window in plan])


def _picture_for(canvas: Tensor, structure: StructureParams, picture: Tensor | None) -> Tensor:
    """The picture that this canvas follows, at half its size: it was encoded at the size of the canvas."""
    wanted = canvas_size(canvas)
    if picture is None or canvas_size(picture) != wanted:
        given = "none" if picture is None else f"{picture.shape[-1]} x {picture.shape[-2]}"
        raise ValueError(
            f"structure: with {structure.scales} scales the picture must be {wanted.width} x {wanted.height} latent "
            f"cells, got {given}."
        )
    return downsample(picture, FACTOR)


def _require_finite(canvas: Tensor, step: Step, what: str) -> None:
    finite = canvas.isfinite()
    if not bool(finite.all()):
        raise FloatingPointError(not_finite(what, str(step), ~finite))


def not_finite(what: str, when: str, where: Tensor) -> str:
    """The error message for numbers that are not finite; `where` (B, C, ..., H, W) is true at their places."""
    rows, columns = where.flatten(0, -3).any(0).nonzero(as_tuple=True)
    return (
        f"{when}: {what} is not finite (NaN or infinite) at x {int(columns.min())}..{int(columns.max())}, "
        f"y {int(rows.min())}..{int(rows.max())} (latent cells); run the model in higher precision, or look at what "
        "was connected for the latent."
    )

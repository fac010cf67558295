"""Joint sampling on the host: wrappers around four of its calls, and nothing of the host changed.

PREPARE_SAMPLING   memory is asked for a window, not for the canvas
SAMPLER_SAMPLE     a run begins: its conditioning is got ready for windows, the sampler rehearses
PREDICT_NOISE      guided methods look at every window and decide how to move it
CALC_COND_BATCH    the canvas is cut into windows, predicted, and each prediction is fused: CFG, its hooks and the
                   sampler only ever see canvases
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...core.denoiser import Denoiser
from ...core.joint_step import guidance_shifts
from ...core.multidiffusion import predict_jointly
from ...core.similarity import LatentSimilarity, PictureSimilarity, Similarity
from ...core.step import Step
from ...core.windows import Size, Window, canvas_size, crop
from .conditioning import hook_keyframes_at, scheduled
from .gradients import evenly_scaled, input_gradients
from .input_gradient_layers import as_the_host_runs_it
from .prediction import HostPrediction
from .replacing import replaced
from .run import Run
from .settings import CALL, KEY, joint_params, settings_of
from .vae_gradients import decoder_gradients, latents_out, views_at_once


class CanvasCall(NamedTuple):
    """A prediction is wanted of the whole canvas in this step, its windows moved by `shifts` if there are any."""

    run: Run
    step: Step
    shifts: Mapping[Window, Tensor] | None = None


class ViewsCall(NamedTuple):
    """A prediction is wanted of views, cropped through these windows of a canvas of the run, of any scale.

    A coarse canvas has a noise level of its own; which prompts and ControlNets are on goes by that of the step.
    """

    run: Run
    windows: Sequence[Window]
    canvas: Size
    step_sigma: float


def with_settings(model: ModelPatcher, **changes: Any) -> ModelPatcher:
    """A clone of the model that samples jointly, with these fields of its `JointSettings` set; the others stay."""
    clone = model.clone()
    clone.model_options["transformer_options"][KEY] = replace(settings_of(model.model_options), **changes)
    for wrapper_type, wrapper in WRAPPERS.items():
        clone.remove_wrappers_with_key(wrapper_type, KEY)  # the same key twice would run twice
        clone.add_wrapper_with_key(wrapper_type, KEY, wrapper)
    return clone


def _prepare_sampling(executor, model, noise_shape, conds, model_options=None, **options):
    # For one window: how many go into a call is decided by what is free after loading, not the other way round.
    window = joint_params(model, model_options).windows.window
    view = [min(length, side) for length, side in zip(window, noise_shape[-2:], strict=True)]
    return executor(model, (*noise_shape[:-2], *view), conds, model_options=model_options, **options)


def _sampler_sample(executor, guider, sigmas, extra_args, callback, noise, *rest):
    if len(sigmas) < 2:  # no step, as when a node has split off all of them
        return executor(guider, sigmas, extra_args, callback, noise, *rest)
    run = Run(guider, executor.class_obj, sigmas, extra_args, noise)
    extra_args = {
        **extra_args,
        "model_options": _with_call(extra_args["model_options"], CanvasCall(run, run.first_step)),
    }
    return executor(guider, sigmas, extra_args, callback, noise, *rest)


def _predict_noise(executor, x, timestep, model_options, seed=None):
    call = _call(model_options)
    # Which step it is need not be asked of a device that is at work, if all are alike.
    if not isinstance(call, CanvasCall) or not call.run.params.differs_by_step:
        return executor(x, timestep, model_options, seed)
    run, step = call.run, call.run.step_at(float(timestep[0]))
    shifts = _guidance(executor, x, step, model_options, seed, run) if run.params.is_guided(step) else None
    return executor(x, timestep, _with_call(model_options, CanvasCall(run, step, shifts)), seed)


def _guidance(executor, x: Tensor, step: Step, model_options, seed, run: Run) -> Mapping[Window, Tensor] | None:
    """How each window of the canvas is to be moved, found on batches of windows; smaller ones if memory runs out."""
    conds = executor.class_obj.conds.values()
    gradients = run.params.needs_gradients(step)
    batch = run.batch_size(conds, x, gradients)
    while True:
        checkpoint = run.needs_checkpoints(conds, x, batch) if gradients else None
        try:
            # Also without gradients through the model: a loss of pictures has them through the VAE.
            return run.backpropagation(partial(_shifts, executor, x, step, model_options, seed, run, batch, checkpoint))
        except Exception as error:
            if batch == 1 or not comfy.model_management.is_oom(error):
                raise
        # Out here, where no traceback keeps the memory of the failed attempt.
        comfy.model_management.soft_empty_cache()
        batch = run.ran_out_of_memory(batch, gradients)


def _shifts(
    executor, x: Tensor, step: Step, model_options, seed, run: Run, batch: int, checkpoint: bool | None
) -> Mapping[Window, Tensor] | None:
    """The same for batches of so many windows; with gradients through the model unless `checkpoint` is None."""
    guider, gradients = executor.class_obj, checkpoint is not None
    conds = guider.conds
    with ExitStack() as stack:
        if gradients:
            model_options = stack.enter_context(input_gradients(guider, model_options, checkpoint))
            # The run knows the conditioning by identity; what is cut of it is thawed view by view.
            stack.enter_context(replaced([(vars(guider), "conds", conds)]))
        similarity = stack.enter_context(_similarity(run, step, x))
        denoise = _views_denoiser(executor, model_options, seed, run, step.sigma, gradients)
        params = replace(run.params, windows=replace(run.params.windows, batch=batch))
        return guidance_shifts(x, step, denoise, params, similarity)


@contextmanager
def _similarity(run: Run, step: Step, x: Tensor) -> Iterator[Similarity]:
    """By what SyncDiffusion compares windows."""
    loss = run.picture_loss
    if loss is None or run.params.sync_at(step) is None:
        yield LatentSimilarity()
        return
    at_once = views_at_once(loss.vae, crop(x, run.params.windows.plan(canvas_size(x))[0]))
    with decoder_gradients(loss.vae, checkpoint=at_once < 1) as decode, latents_out(run.model) as to_vae:
        yield PictureSimilarity(loss.perception, lambda denoised: decode(to_vae(denoised)), max(int(at_once), 1))


def _views_denoiser(executor, model_options, seed, run: Run, step_sigma: float, gradients: bool) -> Denoiser:
    """The host's prediction of views, after CFG and all its hooks, as the core asks for it."""

    def denoise(views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size) -> Tensor:
        options = _with_call(model_options, ViewsCall(run, windows, canvas, step_sigma))

        def predict(views: Tensor) -> Tensor:
            return executor(views, views.new_full((len(views),), sigma), options, seed)

        if gradients:
            return evenly_scaled(predict, views) if views.requires_grad else predict(views)
        if run.picture_loss is None:
            return predict(views)
        # Around us gradients flow through the VAE; the model has no part in that.
        with as_the_host_runs_it(), replaced([(vars(comfy.model_management), "in_training", False)]):
            return predict(views)

    return denoise


def _calc_cond_batch(executor, model, conds, x, timestep, model_options):
    call = _call(model_options)
    if call is None:  # not within a run: another pack asks the model something
        return executor(model, conds, x, timestep, model_options)
    if isinstance(call, ViewsCall):
        conds = [None if entries is None else scheduled(entries, call.step_sigma) for entries in conds]
    prediction = HostPrediction(
        executor=executor, model=model, conds=conds, timestep=timestep, model_options=model_options, run=call.run
    )
    if isinstance(call, ViewsCall):
        with hook_keyframes_at(model, call.step_sigma):
            return prediction.of_views(x, call.windows, call.canvas)
    canvas = canvas_size(x)
    batches = call.run.batches(conds, x, call.run.params.windows_at(call.step).plan(canvas))

    def predict(views: Tensor, windows: tuple[Window, ...]) -> list[Tensor]:
        return prediction.of_alike(views, windows, canvas, batches[windows])

    weights = call.run.fusion_weights(x, call.step)
    return predict_jointly(x, batches, predict, weights, call.shifts, call.step.shift_kept)


def _call(model_options: dict[str, Any]) -> CanvasCall | ViewsCall | None:
    return model_options.get("transformer_options", {}).get(CALL)


def _with_call(model_options: dict[str, Any], call: CanvasCall | ViewsCall) -> dict[str, Any]:
    return {**model_options, "transformer_options": {**model_options["transformer_options"], CALL: call}}


WRAPPERS = {
    WrappersMP.PREPARE_SAMPLING: _prepare_sampling,
    WrappersMP.SAMPLER_SAMPLE: _sampler_sample,
    WrappersMP.PREDICT_NOISE: _predict_noise,
    WrappersMP.CALC_COND_BATCH: _calc_cond_batch,
}

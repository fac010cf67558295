"""Joint sampling on the host: wrappers around four of its calls, and nothing of the host changed.

PREPARE_SAMPLING   memory is asked for a window, not for the canvas
SAMPLER_SAMPLE     a run begins: its conditioning is got ready for windows
PREDICT_NOISE      a step: coarser canvases are asked about first, then the canvas; each is corrected after CFG
CALC_COND_BATCH    a canvas is cut into windows, predicted, and each prediction is fused: CFG, its hooks and the sampler
                   only ever see canvases
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....core.canvas.windows import Size, Window, canvas_size, crop
from ....core.correction import Correction
from ....core.denoiser import Denoiser
from ....core.joint_step import Aids, Look, guidance_shifts, predict_canvas
from ....core.methods.multidiffusion import predict_jointly
from ....core.perception.similarity import LatentSimilarity, PictureSimilarity, Similarity
from ....core.step import Step
from ..gradients.model import evenly_scaled, input_gradients
from ..gradients.vae import decoder_gradients, latents_out, views_at_once
from ..replaced import replaced
from ..settings import CALL, KEY, joint_params, settings_of
from .conditioning import hook_keyframes_at, scheduled
from .prediction import HostPrediction
from .run import Run

POST_CFG = "sampler_post_cfg_function"


class CanvasCall(NamedTuple):
    """A prediction is wanted of a whole canvas of the run, of any scale.

    A coarse canvas has a noise level of its own; which prompts and ControlNets are on goes by that of the step.
    """

    run: Run
    canvas: Size
    look: Look
    step_sigma: float | None = None  # None where it is the canvas' own


class ViewsCall(NamedTuple):
    """A prediction is wanted of views, cropped through these windows of a canvas of the run, of any scale."""

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
    call = CanvasCall(run, canvas_size(noise), run.look(noise, run.first_step))
    extra_args = {**extra_args, "model_options": _with_call(extra_args["model_options"], call)}
    sampled = executor(guider, sigmas, extra_args, callback, noise, *rest)
    run.finite.require()
    return sampled


def _predict_noise(executor, x, timestep, model_options, seed=None):
    call = _call(model_options)
    if not isinstance(call, CanvasCall):
        return executor(x, timestep, model_options, seed)
    run = call.run
    # Which step it is need not be asked of a device that is at work, if all are alike.
    if not run.params.differs_by_step:
        denoised = executor(x, timestep, model_options, seed)
        run.finite.look_at(denoised)
        return denoised
    step = run.step_at(float(timestep[0]))

    def predict(canvas: Tensor, sigma: float, look: Look) -> Tensor:
        whole = canvas.shape == x.shape
        call = CanvasCall(run, canvas_size(canvas), look, None if whole else step.sigma)
        options = _with_call(model_options, call)
        level = timestep if whole else timestep.new_full(timestep.shape, sigma)
        with run.hook_states.of(canvas.shape):
            return _corrected(partial(executor, canvas, level), options, seed, look.correct, run)

    shifts = _guidance(executor, x, step, model_options, seed, run) if run.params.needs_gradients else None
    aids = Aids(comparing=partial(_similarity, run), scale_map=run.scale_map)
    denoised = predict_canvas(x, step, predict, run.params, aids, shifts=shifts, weigh=run.fusion_weights)
    run.finite.look_at(denoised)
    return denoised


def _corrected(predict: Callable[..., Tensor], options, seed, correct: Correction | None, run: Run) -> Tensor:
    """A prediction that is corrected after CFG and the hooks of other nodes, before those of the sampler.

    CFG++ samplers step along the unconditional prediction: CFG is linear, so it gets the same correction.
    """
    if correct is None:
        return predict(options, seed)
    added: list[Tensor] = []

    def hook(arguments: dict[str, Any]) -> Tensor:
        denoised = arguments["denoised"]
        # A loss of pictures goes backward through the VAE.
        corrected = run.backpropagation(partial(correct, denoised)) if run.picture_loss else correct(denoised)
        added.append(corrected - denoised)
        return corrected

    def with_corrected_uncond(later: Callable[[dict[str, Any]], Tensor], arguments: dict[str, Any]) -> Tensor:
        return later({**arguments, "uncond_denoised": arguments["uncond_denoised"] + added[-1]})

    hooks = options.get(POST_CFG, [])
    of_nodes, of_sampler = hooks[: run.hooks_of_nodes], hooks[run.hooks_of_nodes :]
    hooks = [*of_nodes, hook, *(partial(with_corrected_uncond, later) for later in of_sampler)]
    denoised = predict({**options, POST_CFG: hooks}, seed)
    return denoised if added else hook({"denoised": denoised})  # of a guider that calls no hooks


def _guidance(executor, x: Tensor, step: Step, model_options, seed, run: Run) -> Mapping[Window, Tensor] | None:
    """For `guidance: gradient`: how each window is to be moved, found on batches of windows.

    In smaller ones if memory runs out.
    """
    conds = executor.class_obj.conds.values()
    batch = run.batch_size(conds, x, gradients=True)
    while True:
        checkpoint = run.needs_checkpoints(conds, x, batch)
        try:
            return run.backpropagation(partial(_shifts, executor, x, step, model_options, seed, run, batch, checkpoint))
        except Exception as error:
            if batch == 1 or not comfy.model_management.is_oom(error):
                raise
        # Out here, where no traceback keeps the memory of the failed attempt.
        comfy.model_management.soft_empty_cache()
        batch = run.ran_out_of_memory(batch, gradients=True)


def _shifts(
    executor, x: Tensor, step: Step, model_options, seed, run: Run, batch: int, checkpoint: bool
) -> Mapping[Window, Tensor] | None:
    """The same for batches of so many windows."""
    guider = executor.class_obj
    conds = guider.conds
    with ExitStack() as stack:
        model_options = stack.enter_context(input_gradients(guider, model_options, checkpoint))
        # The run knows the conditioning by identity; what is cut of it is thawed view by view.
        stack.enter_context(replaced([(vars(guider), "conds", conds)]))
        similarity = stack.enter_context(_similarity(run, x))
        denoise = _views_denoiser(executor, model_options, seed, run, step.sigma)
        params = replace(run.params, windows=replace(run.params.windows, batch=batch))
        return guidance_shifts(x, step, denoise, params, similarity)


@contextmanager
def _similarity(run: Run, canvas: Tensor) -> Iterator[Similarity]:
    """By what SyncDiffusion compares windows of the canvas."""
    loss = run.picture_loss
    if loss is None:
        yield LatentSimilarity()
        return
    at_once = views_at_once(loss.vae, crop(canvas, run.params.windows.overlapping().plan(canvas_size(canvas))[0]))
    with decoder_gradients(loss.vae, checkpoint=at_once < 1) as decode, latents_out(run.model) as to_vae:
        yield PictureSimilarity(loss.perception, lambda denoised: decode(to_vae(denoised)), max(int(at_once), 1))


def _views_denoiser(executor, model_options, seed, run: Run, step_sigma: float) -> Denoiser:
    """The host's prediction of views, after CFG and all its hooks, as the core asks for it."""

    def denoise(views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size) -> Tensor:
        options = _with_call(model_options, ViewsCall(run, windows, canvas, step_sigma))

        def predict(views: Tensor) -> Tensor:
            with run.hook_states.of(views.shape):
                return executor(views, views.new_full((len(views),), sigma), options, seed)

        return evenly_scaled(predict, views) if views.requires_grad else predict(views)

    return denoise


def _calc_cond_batch(executor, model, conds, x, timestep, model_options):
    call = _call(model_options)
    if call is None:  # not within a run: another pack asks the model something
        return executor(model, conds, x, timestep, model_options)
    if call.step_sigma is not None:
        conds = [None if entries is None else scheduled(entries, call.step_sigma) for entries in conds]
    prediction = HostPrediction(
        executor=executor, model=model, conds=conds, timestep=timestep, model_options=model_options, run=call.run
    )
    with ExitStack() as stack:
        if call.step_sigma is not None:
            stack.enter_context(hook_keyframes_at(model, call.step_sigma))
        if isinstance(call, ViewsCall):
            return prediction.of_views(x, call.windows, call.canvas)
        canvas, look = canvas_size(x), call.look
        if canvas != call.canvas:  # a hook of another pack asks about a part of it
            look = call.run.look(x, call.run.step_at(float(timestep[0])))
        batches = call.run.batches(conds, x, look.params.plan(canvas))

        def predict(views: Tensor, windows: Sequence[Window]) -> list[Tensor]:
            return prediction.of_alike(views, windows, canvas, batches[tuple(windows)])

        return predict_jointly(x, batches, predict, look.weights, look.shifts, look.shift_kept)


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

"""Joint sampling on the host: wrappers around four of its calls, and nothing of the host changed.

PREPARE_SAMPLING   memory is asked for a window, not for the canvas
SAMPLER_SAMPLE     a run begins: its conditioning is got ready for windows, the sampler rehearses
PREDICT_NOISE      guided methods look at every window and decide how to move it
CALC_COND_BATCH    the canvas is cut into windows, predicted, and each prediction is fused: CFG, its hooks and the
                   sampler only ever see canvases
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...core.denoiser import Denoiser
from ...core.multidiffusion import predict_jointly, shift_kept
from ...core.multiscale import Step, window_shifts
from ...core.windows import Size, Window, canvas_size
from .conditioning import scheduled
from .gradients import evenly_scaled, input_gradients
from .prediction import HostPrediction
from .replacing import replaced
from .run import Run
from .settings import CALL, KEY, settings_of, windows_of


class CanvasCall(NamedTuple):
    """A prediction is wanted of the whole canvas, its windows moved by `shifts` if there are any."""

    run: Run
    shifts: Mapping[Window, Tensor] | None = None
    shift_kept: float = 0.0


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
    windows = windows_of(model, model_options)
    view = [min(window, side) for window, side in zip(windows.window, noise_shape[-2:], strict=True)]
    return executor(model, (*noise_shape[:-2], *view), conds, model_options=model_options, **options)


def _sampler_sample(executor, guider, sigmas, extra_args, callback, noise, *rest):
    run = Run(guider, executor.class_obj, sigmas, extra_args, noise)
    extra_args = {**extra_args, "model_options": _with_call(extra_args["model_options"], CanvasCall(run))}
    return executor(guider, sigmas, extra_args, callback, noise, *rest)


def _predict_noise(executor, x, timestep, model_options, seed=None):
    call = _call(model_options)
    if not isinstance(call, CanvasCall) or not call.run.guided:
        return executor(x, timestep, model_options, seed)
    step = call.run.step_at(float(timestep[0]))
    shifts = _guidance(executor, x, step, model_options, seed, call.run)
    options = _with_call(model_options, CanvasCall(call.run, shifts, shift_kept(step.kept)))
    return executor(x, timestep, options, seed)


def _guidance(executor, x: Tensor, step: Step, model_options, seed, run: Run) -> Mapping[Window, Tensor] | None:
    """How each window of the canvas is to be moved, found on batches of windows; smaller ones if memory runs out."""
    guider = executor.class_obj
    conds = guider.conds
    gradients = run.multiscale.needs_gradients and run.multiscale.weight_at(step.progress) > 0
    batch = run.batch_size(conds.values(), x, gradients)
    while True:
        try:
            with ExitStack() as stack:
                options = model_options
                if gradients:
                    checkpoint = run.needs_checkpoints(conds.values(), x, batch)
                    options = stack.enter_context(input_gradients(guider, model_options, checkpoint))
                    # The run knows the conditioning by identity; what is cut of it is thawed view by view.
                    stack.enter_context(replaced([(vars(guider), "conds", conds)]))
                denoise = _views_denoiser(executor, options, seed, run, step.sigma, gradients)
                return window_shifts(x, step, denoise, replace(run.windows, batch=batch), run.multiscale)
        except Exception as error:
            if batch == 1 or not comfy.model_management.is_oom(error):
                raise
        # Out here, where no traceback keeps the memory of the failed attempt.
        comfy.model_management.soft_empty_cache()
        batch = run.ran_out_of_memory(batch, gradients)


def _views_denoiser(executor, model_options, seed, run: Run, step_sigma: float, gradients: bool) -> Denoiser:
    """The host's prediction of views, after CFG and all its hooks, as the core asks for it."""

    def denoise(views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size) -> Tensor:
        options = _with_call(model_options, ViewsCall(run, windows, canvas, step_sigma))

        def predict(views: Tensor) -> Tensor:
            return executor(views, views.new_full((len(views),), sigma), options, seed)

        return evenly_scaled(predict, views) if gradients and views.requires_grad else predict(views)

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
        return prediction.of_views(x, call.windows, call.canvas)
    return predict_jointly(
        x,
        call.run.batches(conds, x),
        partial(prediction.of_views, canvas=canvas_size(x)),
        call.run.windows.weights,
        call.shifts,
        call.shift_kept,
    )


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

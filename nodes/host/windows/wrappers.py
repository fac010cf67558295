"""Joint sampling on the host: wrappers around four of its calls, and nothing of the host changed.

PREPARE_SAMPLING   memory is asked for a window, not for the canvas
SAMPLER_SAMPLE     a run begins: settings and conditioning are checked and prepared
PREDICT_NOISE      a step: the model predicts coarser canvases first, then the canvas; each is corrected after CFG
CALC_COND_BATCH    a canvas is cut into windows, predicted, and each prediction is fused: CFG, its hooks and the sampler
                   only ever see canvases
"""

from typing import Any

from comfy.patcher_extension import WrappersMP

from ....core.canvas.windows import Size, canvas_size
from ..settings import CALL, joint_params
from .calls import CanvasCall, with_call
from .conditioning import references_of_a_view
from .prediction import predict
from .run import Run
from .step import denoise


def _prepare_sampling(executor, model, noise_shape, conds, model_options=None, **options):
    # Memory for one window is enough: `Run.batch_size` then takes as many as fit into what is free after loading.
    canvas = Size(*noise_shape[-2:])
    view = Size(*map(min, joint_params(model, model_options).windows.window, canvas))
    with references_of_a_view(conds, canvas, view):
        return executor(model, (*noise_shape[:-2], *view), conds, model_options=model_options, **options)


def _sampler_sample(executor, guider, sigmas, extra_args, callback, noise, *rest):
    if len(sigmas) < 2:  # no step, as when a node has split off all of them
        return executor(guider, sigmas, extra_args, callback, noise, *rest)
    run = Run(guider, executor.class_obj, sigmas, extra_args, noise)
    call = CanvasCall(run, canvas_size(noise), run.look(noise, run.first_step))
    extra_args = {**extra_args, "model_options": with_call(extra_args["model_options"], call)}
    sampled = executor(guider, sigmas, extra_args, run.progress.counting(callback), noise, *rest)
    run.end()
    return sampled


def _predict_noise(executor, x, timestep, model_options, seed=None):
    call = _call(model_options)
    if not isinstance(call, CanvasCall):
        return executor(x, timestep, model_options, seed)
    run = call.run
    arguments = (x, timestep, model_options, seed)
    # To ask which step it is waits for the device. It is not asked where all steps are alike.
    denoised = denoise(executor, *arguments, run) if run.differs_by_step else executor(*arguments)
    run.finite.look_at(denoised)
    return denoised


def _calc_cond_batch(executor, model, conds, x, timestep, model_options):
    call = _call(model_options)
    if call is None:  # not within a run: another pack asks the model something
        return executor(model, conds, x, timestep, model_options)
    return predict(executor, model, conds, x, timestep, model_options, call)


def _call(model_options: dict[str, Any]) -> Any:
    return model_options.get("transformer_options", {}).get(CALL)


WRAPPERS = {
    WrappersMP.PREPARE_SAMPLING: _prepare_sampling,
    WrappersMP.SAMPLER_SAMPLE: _sampler_sample,
    WrappersMP.PREDICT_NOISE: _predict_noise,
    WrappersMP.CALC_COND_BATCH: _calc_cond_batch,
}

"""`guidance: gradient` on the host: how each window of a canvas is to be moved, found on batches of windows."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ....core.canvas.windows import Size, Window
from ....core.denoiser import Denoiser
from ....core.joint_step import guidance_shifts
from ....core.step import Step
from ..gradients.half_precision import evenly_scaled
from ..gradients.model import input_gradients
from ..replaced import replaced
from .calls import ViewsCall, with_call
from .run import Run
from .similarity import similarity


def guidance(executor, x: Tensor, step: Step, model_options, seed, run: Run) -> Mapping[Window, Tensor] | None:
    """The shift of every window of x (B, C, ..., H, W), or None where nothing is guided in this step."""
    guider = executor.class_obj
    conds = guider.conds

    def shifts(batch: int, checkpoint: bool) -> Mapping[Window, Tensor] | None:
        with ExitStack() as stack:
            options = stack.enter_context(input_gradients(guider, model_options, checkpoint))
            # The run knows the conditioning by identity; what is cut of it is thawed view by view.
            stack.enter_context(replaced([(vars(guider), "conds", conds)]))
            by = stack.enter_context(similarity(run, x))
            denoise = _views_denoiser(executor, options, seed, run, step.sigma)
            params = replace(run.params, windows=replace(run.params.windows, batch=batch))
            return guidance_shifts(x, step, denoise, params, by)

    def in_batches_of(size: int) -> Mapping[Window, Tensor] | None:
        return run.backpropagation(partial(shifts, size, run.needs_checkpoints(conds.values(), x, size)))

    return run.guided_batches.attempt(in_batches_of, run.batch_size(conds.values(), x, gradients=True))


def _views_denoiser(executor, model_options: dict[str, Any], seed, run: Run, step_sigma: float) -> Denoiser:
    """The host's prediction of views, after CFG and all its hooks, as the core asks for it."""

    def denoise(views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size) -> Tensor:
        options = with_call(model_options, ViewsCall(run, windows, canvas, step_sigma))

        def predict(views: Tensor) -> Tensor:
            with run.hook_states.of(views.shape):
                return executor(views, views.new_full((len(views),), sigma), options, seed)

        return evenly_scaled(predict, views) if views.requires_grad else predict(views)

    return denoise

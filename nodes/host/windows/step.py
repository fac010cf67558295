"""A step that differs from the others: which canvases are asked about, and how each is corrected."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from ....core.canvas.windows import canvas_size
from ....core.correction import Correction
from ....core.joint_step import Aids, Look, predict_canvas
from .calls import CanvasCall, with_call
from .gradient_guidance import guidance
from .run import Run
from .similarity import similarity


def denoise(executor, x: Tensor, timestep: Tensor, model_options: dict[str, Any], seed, run: Run) -> Tensor:
    """The prediction of the canvas x (B, C, ..., H, W) that the sampler steps with: fused, guided, corrected.

    `executor` is the host's PREDICT_NOISE; the other arguments are what it takes.
    """
    step = run.step_at(float(timestep[0]))

    def predict(canvas: Tensor, sigma: float, look: Look) -> Tensor:
        whole = canvas.shape == x.shape
        options = with_call(model_options, CanvasCall(run, canvas_size(canvas), look, None if whole else step.sigma))
        level = timestep if whole else timestep.new_full(timestep.shape, sigma)
        with run.hook_states.of(canvas.shape):
            return _corrected(partial(executor, canvas, level), options, seed, look.correct, run)

    shifts = guidance(executor, x, step, model_options, seed, run) if run.params.needs_gradients else None
    aids = Aids(comparing=partial(similarity, run), scale_map=run.scale_map, picture=run.picture)
    return predict_canvas(x, step, predict, run.params, aids, shifts=shifts, weigh=run.fusion_weights)


def _corrected(
    predict: Callable[..., Tensor], options: dict[str, Any], seed, correct: Correction | None, run: Run
) -> Tensor:
    """A prediction that is corrected after CFG and the hooks of other nodes, before those of the sampler."""
    if correct is None:
        return predict(options, seed)
    added: list[Tensor] = []

    def hook(arguments: dict[str, Any]) -> Tensor:
        denoised = arguments["denoised"]
        # A loss of pictures goes backward through the VAE.
        corrected = run.backpropagation(partial(correct, denoised)) if run.picture_loss else correct(denoised)
        added.append(corrected - denoised)
        return corrected

    denoised = predict(run.sampler_hooks.changed(options, lambda uncond: uncond + added[-1], hook), seed)
    return denoised if added else hook({"denoised": denoised})  # of a guider that calls no hooks

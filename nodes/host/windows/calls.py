"""What a run asks of the host: it travels in the model options of a call, and CALC_COND_BATCH answers it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ....core.canvas.windows import Size, Window
from ....core.joint_step import Look
from ..settings import CALL
from .run import Run


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


Call = CanvasCall | ViewsCall


def with_call(model_options: dict[str, Any], call: Call) -> dict[str, Any]:
    """Model options that carry the call."""
    return {**model_options, "transformer_options": {**model_options["transformer_options"], CALL: call}}

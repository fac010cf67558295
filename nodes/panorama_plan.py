"""What the windows look like and what they cost, before anything is sampled."""

from dataclasses import replace

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..core.cost import views_per_step
from ..core.joint_step import JointParams, check_canvas
from ..core.step import Step
from ..core.twindiffusion import CrossSamplingParams
from ..core.windows import Size
from .host.latents import latent_space, sampled_size
from .host.settings import joint_params, settings_of
from .plan_picture import coverage, draw_plan

FIRST = Step(sigma=1.0, kept=0.0, index=0, count=1)


class PanoramaPlan(io.ComfyNode):
    """A picture of the windows on the canvas."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaPlan",
            display_name="Panorama Plan",
            category="joint diffusion",
            description="Draws the windows of a model on a canvas, and counts what a step costs. Samples nothing.",
            search_aliases=["panorama", "windows", "tiles", "multidiffusion", "tiled diffusion", "preview", "cost"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="A model after Panorama Windows and the nodes that guide them."),
                io.Latent.Input("samples", tooltip="The canvas, as the sampler will get it."),
            ],
            outputs=[
                io.Image.Output("plan", display_name="plan", tooltip="The canvas, lighter where more windows look."),
                io.Int.Output("windows", display_name="windows", tooltip="Number of windows on the canvas."),
                io.Int.Output(
                    "views", display_name="views per step", tooltip="Views that the model denoises in one step."
                ),
                io.String.Output("summary", display_name="summary", tooltip="The plan in words."),
            ],
        )

    @classmethod
    def execute(cls, model, samples):
        params = joint_params(model)
        canvas, ratio = sampled_size(model, samples), latent_space(model).ratio
        check_canvas(canvas, params)
        lines = describe(canvas, ratio, params)
        if settings_of(model.model_options).windows is None:
            lines.append("No Panorama Windows before this node: these are the windows of a model without it.")
        windows = params.windows_at(FIRST).plan(canvas)
        picture = torch.from_numpy(np.array(draw_plan(canvas, windows, lines))).float()[None] / 255
        views = views_per_step(canvas, params, FIRST)
        return io.NodeOutput(picture, len(windows), views, "\n".join(lines), ui=ui.PreviewImage(picture, cls=cls))


def describe(canvas: Size, ratio: int, params: JointParams) -> list[str]:
    """The plan in a few lines."""
    plan = params.windows_at(FIRST)
    windows = plan.plan(canvas)
    first, count = windows[0], coverage(canvas, windows)
    overlap = Size(plan.window.height - plan.stride.height, plan.window.width - plan.stride.width)
    edges = [name for name, wraps in (("x", plan.wrap.x), ("y", plan.wrap.y)) if wraps]
    lines = [
        f"Canvas {canvas.width * ratio} x {canvas.height * ratio} px"
        + (f", wraps in {' and '.join(edges)}" if edges else ""),
        f"{len(windows)} windows of {first.width * ratio} x {first.height * ratio} px, overlap at least "
        f"{overlap.width * ratio} x {overlap.height * ratio} px; "
        f"{int(count.min())} to {int(count.max())} windows look at each place",
    ]
    if params.cross_sampling is not None:
        lines.append(_turns(canvas, ratio, params, params.cross_sampling))
    return [*lines, _cost(canvas, params)]


def _turns(canvas: Size, ratio: int, params: JointParams, cross: CrossSamplingParams) -> str:
    steps = [replace(FIRST, index=index) for index in range(cross.groups)]
    counts = " and ".join(str(len(params.windows_at(step).plan(canvas))) for step in steps)
    stride = cross.shift_at(steps[1], params.windows)
    return (
        f"Cross Sampling: {cross.groups} sets of windows take turns, {stride.width * ratio} x {stride.height * ratio} "
        f"px apart, of {counts} windows"
    )


def _cost(canvas: Size, params: JointParams) -> str:
    views = views_per_step(canvas, params, FIRST)
    if not params.guided:
        return f"{views} views of the model in each step (twice that with a negative prompt)"
    multiscale = params.multiscale_at(FIRST)
    scales = f" of {multiscale.scales} scales" if multiscale else ""
    unguided = len(params.windows_at(FIRST).plan(canvas))
    return (
        f"{views} views of the model in each guided step{scales}, {unguided} in others (twice that with a negative "
        "prompt)"
    )

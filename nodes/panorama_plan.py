"""What the windows look like and what they cost, before anything is sampled."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..core.canvas.windows import Size, Window
from ..core.joint_params import JointParams, check_canvas
from ..core.measure.cost import views_per_step
from ..core.methods.multidiffusion import WindowParams
from ..core.methods.multiscale import scale_sizes
from ..core.methods.twindiffusion import CrossSamplingParams
from ..core.step import Step
from .drawings.plan import coverage, draw_plan
from .drawings.reached_windows import ReachedWindows
from .drawings.words import count_of
from .host.latents import latent_space, sampled_size
from .host.settings import windows_of
from .host.windows.picture import canvas_params
from .host.windows.placed_prompts import reach_of
from .panorama_windows import NO_WINDOWS

NOISY = tuple(Step(sigma=1e3 + level) for level in range(32))  # nothing but noise; each has its own moving windows
SCENE = 2  # windows that one scene may fill


class PanoramaPlan(io.ComfyNode):
    """A picture of the windows on the canvas."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaPlan",
            display_name="Panorama Plan",
            category="joint diffusion",
            description="Draws the windows of a model on a canvas, and counts what a step costs. Samples nothing.",
            search_aliases=[
                "panorama",
                "windows",
                "context windows",
                "tiles",
                "tiled diffusion",
                "multidiffusion",
                "preview",
                "cost",
            ],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model after Panorama Windows and after the guidance nodes."),
                io.Latent.Input("samples", tooltip="The canvas: the same latent that the sampler gets."),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The prompts that the sampler gets, from Panorama Prompts, or with areas or masks. "
                    "Then the plan also shows where each of them reaches.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "plan",
                    display_name="plan",
                    tooltip="The canvas with its windows. A place is lighter if more windows cover it. Below, each "
                    "prompt has a colour.",
                ),
                io.Int.Output("windows", display_name="windows", tooltip="Number of windows on the canvas."),
                io.Int.Output(
                    "views",
                    display_name="views per step",
                    tooltip="Number of views that the model denoises in one step.",
                ),
                io.String.Output("summary", display_name="summary", tooltip="The plan in words."),
            ],
        )

    @classmethod
    def execute(cls, model, samples, positive=None):
        canvas, pixels_per_cell = sampled_size(model, samples), latent_space(model).pixels_per_cell
        params = canvas_params(model, canvas)
        check_canvas(canvas, params)
        step = dearest_step(canvas, params)
        lines = describe(canvas, pixels_per_cell, params, step)
        if windows_of(model) is None:
            lines.append(NO_WINDOWS)
        windows = params.windows_at(step).plan(canvas)
        prompts = ReachedWindows(windows, reach_of(positive, canvas)) if positive else None
        picture = torch.from_numpy(np.array(draw_plan(canvas, windows, lines, prompts))).float()[None] / 255
        views = views_per_step(canvas, params, step)
        summary = "\n".join(lines + (prompts.lines() if prompts else []))
        return io.NodeOutput(picture, len(windows), views, summary, ui=ui.PreviewImage(picture, cls=cls))


def dearest_step(canvas: Size, params: JointParams) -> Step:
    """A guided step with the most views: as windows move, their number changes."""
    return max(NOISY, key=partial(views_per_step, canvas, params))


def describe(canvas: Size, pixels_per_cell: int, params: JointParams, step: Step) -> list[str]:
    """The plan in a few lines."""
    plan = params.windows_at(step)
    windows = plan.plan(canvas)
    edges = [name for name, wraps in (("x", plan.wrap.x), ("y", plan.wrap.y)) if wraps]
    lines = [
        f"Canvas {_in_pixels(canvas, pixels_per_cell)}" + (f", wraps in {' and '.join(edges)}" if edges else ""),
        f"{count_of(len(windows), 'window')} of {_in_pixels(windows[0].size, pixels_per_cell)}"
        + _overlap(windows, plan, pixels_per_cell)
        + _looks(canvas, windows),
    ]
    if params.cross_sampling is not None and len(windows) > 1:
        lines.append(_turns(canvas, pixels_per_cell, params, params.cross_sampling))
    lines += _scales(canvas, pixels_per_cell, params, step)
    return [*lines, _cost(canvas, params, step, len(windows))]


def _in_pixels(size: Size, pixels_per_cell: int) -> str:
    height, width = size.scaled(pixels_per_cell)
    return f"{width} x {height} px"


def _scales(canvas: Size, pixels_per_cell: int, params: JointParams, step: Step) -> list[str]:
    """How far the canvas is made smaller, with a warning where the smallest still shows several scenes."""
    if params.multiscale is None or not params.multiscale.is_on:
        return []
    scales = params.coarser_scales(canvas, step) + 1
    coarsest, window = scale_sizes(canvas, scales)[-1], params.windows.window
    lines = [
        f"{count_of(scales, 'scale')}, the smallest of {_in_pixels(coarsest, pixels_per_cell)}: "
        f"{coarsest.width / window.width:.2g} x {coarsest.height / window.height:.2g} windows"
    ]
    if max(coarsest.width / window.width, coarsest.height / window.height) > SCENE:
        lines.append(f"Warning: that is more than {SCENE} windows in a direction, so the scene may be repeated there")
    return lines


def _overlap(windows: Sequence[Window], plan: WindowParams, pixels_per_cell: int) -> str:
    if plan.moving:
        return ", side by side, in other places in every step"
    overlap = Size(plan.window.height - plan.stride.height, plan.window.width - plan.stride.width)
    return f", overlap at least {_between(windows, overlap, pixels_per_cell)} px" if len(windows) > 1 else ""


def _between(windows: Sequence[Window], distance: Size, pixels_per_cell: int) -> str:
    """A distance between windows in pixels, along those axes that have several of them."""
    lefts, tops = {window.left for window in windows}, {window.top for window in windows}
    along = ((lefts, distance.width), (tops, distance.height))
    return " x ".join(str(cells * pixels_per_cell) for places, cells in along if len(places) > 1)


def _looks(canvas: Size, windows: Sequence[Window]) -> str:
    count = coverage(canvas, windows)
    least, most = int(count.min()), int(count.max())
    if least < most:
        return f"; {least} to {most} windows cover each place"
    return f"; {count_of(most, 'window')} cover{'s' if most == 1 else ''} each place"


def _turns(canvas: Size, pixels_per_cell: int, params: JointParams, cross: CrossSamplingParams) -> str:
    turns = [cross.offset_of(turn, params.windows) for turn in range(cross.groups)]
    plans = [replace(params.windows, offset=offset).plan(canvas) for offset in turns]
    apart = _between(plans[0], turns[1], pixels_per_cell)
    counts = " and ".join(str(len(plan)) for plan in plans)
    return f"Cross Sampling: {cross.groups} sets of windows take turns, {apart} px apart, of {counts} windows"


def _cost(canvas: Size, params: JointParams, step: Step, unguided: int) -> str:
    most = "up to " if params.windows.moving else ""
    views = most + count_of(views_per_step(canvas, params, step), "view")
    if not params.guided:
        return f"The model denoises {views} in each step (twice as many with a negative prompt)"
    return (
        f"The model denoises {views} in each guided step, {most}{unguided} in others "
        "(twice as many with a negative prompt)"
    )

"""What the windows look like and what they cost, before anything is sampled."""

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..core.cost import views_per_step
from ..core.multidiffusion import WindowParams
from ..core.multiscale import MultiScaleParams, check_scales
from ..core.windows import Size, Window
from .host.latents import latent_space, sampled_size
from .host.settings import settings_of, windows_of
from .plan_picture import coverage, draw_plan


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
                io.Model.Input("model", tooltip="A model after Panorama Windows (and Multi-Scale Guidance)."),
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
        settings, params = settings_of(model.model_options), windows_of(model)
        canvas, ratio = sampled_size(model, samples), latent_space(model).ratio
        windows = params.plan(canvas)
        if settings.multiscale is not None and settings.multiscale.weight_at(0.0) > 0:
            check_scales(canvas, params, settings.multiscale)
        views = views_per_step(canvas, params, settings.multiscale)
        lines = describe(canvas, ratio, params, windows, settings.multiscale, views)
        if settings.windows is None:
            lines.append("No Panorama Windows before this node: these are the windows of a model without it.")
        picture = torch.from_numpy(np.array(draw_plan(canvas, windows, lines))).float()[None] / 255
        return io.NodeOutput(picture, len(windows), views, "\n".join(lines), ui=ui.PreviewImage(picture, cls=cls))


def describe(
    canvas: Size,
    ratio: int,
    params: WindowParams,
    windows: tuple[Window, ...],
    multiscale: MultiScaleParams | None,
    views: int,
) -> list[str]:
    """The plan in a few lines."""
    first, count = windows[0], coverage(canvas, windows)
    overlap = Size(params.window.height - params.stride.height, params.window.width - params.stride.width)
    edges = [name for name, wraps in (("x", params.wrap.x), ("y", params.wrap.y)) if wraps]
    lines = [
        f"Canvas {canvas.width * ratio} x {canvas.height * ratio} px"
        + (f", wraps in {' and '.join(edges)}" if edges else ""),
        f"{len(windows)} windows of {first.width * ratio} x {first.height * ratio} px, overlap at least "
        f"{overlap.width * ratio} x {overlap.height * ratio} px; "
        f"{int(count.min())} to {int(count.max())} windows look at each place",
    ]
    if views == len(windows):
        return [*lines, f"{views} views of the model in each step (twice that with a negative prompt)"]
    unguided = f"; {len(windows)} after guidance stops" if multiscale.stop < 1 else ""
    return [
        *lines,
        f"{views} views of the model in each guided step of {multiscale.scales} scales{unguided} "
        "(twice that with a negative prompt)",
    ]

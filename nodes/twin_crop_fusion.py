"""TwinDiffusion: neighbouring windows are aligned, and windows move from step to step, in any sampler."""

from comfy_api.latest import io

from ..core.canvas.windows import Size
from ..core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from .host.latents import latent_space
from .host.windows.patch import with_settings
from .pixels import cells

DEFAULT = CropFusionParams()


class TwinCropFusion(io.ComfyNode):
    """MODEL to MODEL: Crop Fusion and Cross Sampling."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TwinCropFusion",
            display_name="Twin Crop Fusion",
            category="joint diffusion",
            description="Aligns every window with its neighbours before they are fused, and moves the windows from "
            "step to step (TwinDiffusion), at no cost: windows that overlap little leave weaker seams. Uses the "
            "windows of Panorama Windows, else the model's native window at half overlap.",
            search_aliases=["twindiffusion", "crop fusion", "cross sampling", "seams", "panorama", "smooth"],
            inputs=[
                io.Model.Input("model", tooltip="Any image model, with Panorama Windows before or after, or without."),
                io.Float.Input(
                    "adjacency",
                    display_name="lambda",
                    default=DEFAULT.adjacency,
                    min=0.01,
                    max=1000.0,
                    step=0.1,
                    tooltip="How much a window holds on to itself where it overlaps its neighbour. 1 is the paper's; "
                    "small values copy the neighbour, large ones are plain MultiDiffusion.",
                ),
                io.Float.Input(
                    "stop",
                    default=DEFAULT.stop,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Part of the way from noise to picture in which neighbours are aligned. 0: Cross Sampling "
                    "only.",
                ),
                io.Boolean.Input(
                    "cross_sampling",
                    default=True,
                    tooltip="The inner windows move from step to step, so that no border stays where it is. "
                    "Lets windows overlap less. Not for windows that move by themselves.",
                ),
                io.Int.Input(
                    "groups",
                    default=CrossSamplingParams.groups,
                    min=2,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="How many sets of windows take turns in Cross Sampling; the paper has 2 or 3.",
                ),
                io.Int.Input(
                    "cross_stride",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip="Pixels from one set of windows to the next. 0: evenly spaced.",
                ),
            ],
            outputs=[io.Model.Output("model", display_name="MODEL", tooltip="The model, for any sampler.")],
        )

    @classmethod
    def execute(cls, model, adjacency, stop, cross_sampling, groups=CrossSamplingParams.groups, cross_stride=0):
        fusion = CropFusionParams(adjacency=adjacency, stop=stop)
        cross = None
        if cross_sampling:
            space = latent_space(model)
            moved = cells("cross_stride", cross_stride, space.pixels_per_cell, space.grid)
            cross = CrossSamplingParams(groups=groups, cross_stride=Size(moved, moved) if moved else None)
        return io.NodeOutput(with_settings(model, crop_fusion=fusion, cross_sampling=cross))

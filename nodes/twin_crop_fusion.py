"""TwinDiffusion: neighbouring windows are aligned, and windows move from step to step, in any sampler."""

from comfy_api.latest import io

from ..core.canvas.windows import Size
from ..core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from .host.latents import latent_space
from .host.windows.patch import with_settings
from .pixels import cells
from .shared_inputs import ADVANCED, JOINT_MODEL, MODEL, USED_WINDOWS, part_input, pixels_input

DEFAULT = CropFusionParams()


class TwinCropFusion(io.ComfyNode):
    """MODEL to MODEL: Crop Fusion and Cross Sampling."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TwinCropFusion",
            display_name="Twin Crop Fusion",
            category="joint diffusion",
            description="Makes seams weaker where windows lie side by side, at almost no cost (TwinDiffusion). "
            "Crop Fusion aligns every window with its neighbours; Cross Sampling moves the windows from step to step. "
            + USED_WINDOWS,
            search_aliases=["twindiffusion", "crop fusion", "cross sampling", "seams", "panorama", "smooth"],
            inputs=[
                MODEL,
                io.Float.Input(
                    "adjacency",
                    display_name="lambda",
                    default=DEFAULT.adjacency,
                    min=0.01,
                    max=1000.0,
                    step=0.1,
                    tooltip="How much a window keeps of its own prediction where it overlaps its neighbour. 1 is the "
                    "value of the paper. Small values copy the neighbour. Large values are plain MultiDiffusion.",
                ),
                part_input(
                    "stop",
                    "Part of the way from noise to picture in which neighbours are aligned. 0: they are never "
                    "aligned, and there is only Cross Sampling.",
                    default=DEFAULT.stop,
                ),
                io.Boolean.Input(
                    "cross_sampling",
                    default=True,
                    tooltip="Moves the inner windows from step to step, so that their borders lie somewhere else in "
                    "each step. Windows can then overlap less. Cannot be combined with moving windows.",
                ),
                io.Int.Input(
                    "groups",
                    default=CrossSamplingParams.groups,
                    min=2,
                    max=64,
                    tooltip="Number of sets of windows that take turns in Cross Sampling. The paper uses 2 or 3.",
                    **ADVANCED,
                ),
                pixels_input(
                    "cross_stride",
                    "Distance in pixels between one set of windows and the next. 0: evenly spaced.",
                    most=4096,
                    **ADVANCED,
                ),
            ],
            outputs=[JOINT_MODEL],
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

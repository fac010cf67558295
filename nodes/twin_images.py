"""Two pictures that overlap, and the second aligned with the first (TwinDiffusion's single mode)."""

from comfy_api.latest import io

from ..core.methods.twin_images import TwinImages as Twin
from ..core.methods.twindiffusion import CropFusionParams
from .host.joined.twin_images import overlap_of, sample_twin_images
from .host.settings import DEFAULT_OVERLAP
from .ksampler_inputs import ksampler_inputs
from .pixels import size_inputs, size_or_native

DEFAULT = CropFusionParams()


class TwinImages(io.ComfyNode):
    """KSampler for a picture, its neighbour, and the neighbour's twin that fits."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TwinImages",
            display_name="Twin Images",
            category="joint diffusion",
            description="Samples two pictures that overlap, and the second once more so that its left part fits the "
            "right part of the first (TwinDiffusion). Shows what Crop Fusion does to a single pair of windows.",
            search_aliases=["twindiffusion", "crop fusion", "twins", "outpaint", "panorama", "ksampler"],
            inputs=[
                io.Model.Input("model", tooltip="Any image model."),
                *ksampler_inputs(),
                io.Conditioning.Input("positive", tooltip="What to show, in all pictures."),
                io.Conditioning.Input("negative", tooltip="What not to show."),
                *size_inputs("each picture"),
                io.Float.Input(
                    "overlap",
                    default=DEFAULT_OVERLAP,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Part of the width that the pictures share, on the model's grid: 0.5 is half a picture.",
                ),
                io.Float.Input(
                    "adjacency",
                    display_name="lambda",
                    default=DEFAULT.adjacency,
                    min=0.01,
                    max=100.0,
                    step=0.05,
                    tooltip="How much the twin holds on to itself where it overlaps the first picture. Small values "
                    "copy the first picture, large ones leave the second as it is.",
                ),
                io.Float.Input(
                    "stop",
                    default=DEFAULT.stop,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Part of the steps in which the twin is aligned. Less: it differs from the first picture. "
                    "More: it copies its left part, and its halves fall apart.",
                ),
                io.Boolean.Input(
                    "fixed_reference",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="The paper's stress test: the twin is held to the second picture, which is not aligned, "
                    "instead of to itself.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="LATENT",
                    tooltip="Three rows: the first picture, the second, and the second aligned with the first.",
                )
            ],
        )

    @classmethod
    def execute(cls, model, width, height, overlap, adjacency, stop, fixed_reference=False, **as_in_ksampler):
        size = size_or_native(model, height, width)
        twin = Twin(
            overlap=overlap_of(model, size, overlap),
            crop_fusion=CropFusionParams(adjacency=adjacency, stop=stop),
            fixed_reference=fixed_reference,
        )
        latent = sample_twin_images(model, size, twin, **as_in_ksampler)
        return io.NodeOutput({"samples": latent})

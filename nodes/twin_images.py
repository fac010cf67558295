"""Two pictures that overlap, and the second aligned with the first (TwinDiffusion's single mode)."""

from comfy_api.latest import io

from ..core.methods.twin_images import TwinImages as Twin
from ..core.methods.twindiffusion import CropFusionParams
from .host.joined.twin_images import overlap_of, sample_twin_images
from .host.settings import DEFAULT_OVERLAP
from .ksampler_inputs import ksampler_inputs
from .pixels import size_inputs, size_or_native
from .shared_inputs import ADVANCED, part_input

DEFAULT = CropFusionParams()


class TwinImages(io.ComfyNode):
    """KSampler for a picture, its neighbour, and the neighbour's twin that fits."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="TwinImages",
            display_name="Twin Images",
            category="joint diffusion",
            description="Samples two pictures that overlap, and the second once more, so that its left part fits the "
            "right part of the first (TwinDiffusion). Shows what Crop Fusion does to one pair of windows.",
            search_aliases=[
                "twindiffusion",
                "crop fusion",
                "twins",
                "outpaint",
                "expand image",
                "panorama",
                "ksampler",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Any image model."),
                *ksampler_inputs(),
                io.Conditioning.Input("positive", tooltip="What to show, in all pictures."),
                io.Conditioning.Input("negative", tooltip="What not to show."),
                *size_inputs("each picture"),
                part_input(
                    "overlap",
                    "Part of the width that the pictures share. 0.5: half a picture. Rounded to the model's grid.",
                    default=DEFAULT_OVERLAP,
                ),
                io.Float.Input(
                    "adjacency",
                    display_name="lambda",
                    default=DEFAULT.adjacency,
                    min=0.01,
                    max=100.0,
                    step=0.05,
                    tooltip="How much the twin keeps of its own prediction where it overlaps the first picture. Small "
                    "values copy the first picture. Large values leave the second picture as it is.",
                ),
                part_input(
                    "stop",
                    "Part of the steps in which the twin is aligned with the first picture. Small: the twin "
                    "stays nearly the second picture. Large: its left part copies the first picture, and the twin "
                    "breaks in the middle.",
                    default=DEFAULT.stop,
                ),
                io.Boolean.Input(
                    "fixed_reference",
                    default=False,
                    tooltip="The stress test of the paper: the second picture, which is not aligned, takes the place "
                    "of the twin itself in the alignment.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="LATENT",
                    tooltip="Three pictures: the first, the second, and the second aligned with the first (the twin).",
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

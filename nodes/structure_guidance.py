"""Img2img at any denoise: a MODEL that keeps the structure of a picture."""

from comfy_api.latest import io

from .colours import colours_of
from .host.gradients.vae import load_along
from .host.settings import Picture
from .host.windows.patch import with_settings
from .search_words import UPSCALE
from .shared_inputs import JOINT_MODEL
from .structure_inputs import END, structure_inputs


class StructureGuidance(io.ComfyNode):
    """MODEL to MODEL: the canvas keeps the structure of a picture, in any sampler."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StructureGuidance",
            display_name="Structure Guidance",
            category="joint diffusion",
            description="The sampled canvas keeps the layout of a picture, whatever the denoise; the model paints the "
            "details. For a canvas as large as the picture, or up to 8 times as large, in any sampler.",
            search_aliases=[*UPSCALE, "img2img"],
            inputs=[
                io.Model.Input("model", tooltip="Any image model, with Panorama Windows before or after, or without."),
                io.Image.Input("image", tooltip="The picture to keep, of the proportions of the canvas."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                *structure_inputs(),
            ],
            outputs=[JOINT_MODEL],
        )

    @classmethod
    def execute(cls, model, image, vae, structure, structure_end=END):
        picture = Picture(image=colours_of("image", image), vae=vae, strength=structure, end=structure_end)
        guided = with_settings(model, picture=picture)
        load_along(guided, vae)
        return io.NodeOutput(guided)

"""From picture to latent, window by window."""

import logging
from functools import partial

from comfy_api.latest import io

from ..core.canvas.windows import Size
from .colours import colours_of
from .host.vae import encode_canvas, encodes_in_memory
from .search_words import WRAP
from .vae_windows import window_inputs, window_params

log = logging.getLogger(__name__)


class PanoramaEncode(io.ComfyNode):
    """VAE encode of any size in bounded memory, without seams, not even at edges that meet."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaEncode",
            display_name="Panorama Encode",
            category="joint diffusion",
            description="VAE encode in windows: any size in bounded memory, no seams, and wrapping edges meet.",
            search_aliases=["panorama", *WRAP, "large image", "tiled vae", "vae encode tiled", "img2img"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture to encode, or a batch of pictures, each by itself. For a film, use VAE "
                    "Encode.",
                ),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                *window_inputs("encoded", "VAE Encode"),
            ],
            outputs=[io.Latent.Output("latent", display_name="LATENT", tooltip="The picture, for a sampler.")],
        )

    @classmethod
    def execute(cls, image, vae, **asked):
        per_cell = vae.spacial_compression_encode()
        height, width = image.shape[1:3]
        if height % per_cell or width % per_cell:
            raise ValueError(
                f"image: both sides must be multiples of {per_cell} pixels, a latent cell of this VAE, got {width} x "
                f"{height}; resize or crop it."
            )
        canvas = Size(height // per_cell, width // per_cell)
        params = window_params(canvas, per_cell, partial(encodes_in_memory, vae), **asked)
        pixels = colours_of("image", image)
        if vae.latent_dim == 3 and len(pixels) > 1:
            log.warning(
                "image: the %d pictures are encoded each by itself, not as a film; for a film, use VAE Encode.",
                len(pixels),
            )
        return io.NodeOutput({"samples": encode_canvas(vae, pixels, params.wrap, params, progress=True)})

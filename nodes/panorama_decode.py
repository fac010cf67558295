"""From latent to picture, window by window."""

from functools import partial

from comfy_api.latest import io

from ..core.canvas.windows import canvas_size
from .host.vae import decode_canvas, decodes_in_memory, require_latent_of
from .search_words import WRAP
from .vae_windows import window_inputs, window_params


class PanoramaDecode(io.ComfyNode):
    """VAE decode of any size in bounded memory, without seams, not even at edges that meet."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaDecode",
            display_name="Panorama Decode",
            category="joint diffusion",
            description="Decodes a latent of any size, window by window, in bounded memory. There are no seams, and "
            "edges that wrap meet.",
            search_aliases=["panorama", *WRAP, "large image", "tiled vae", "vae decode tiled"],
            inputs=[
                io.Latent.Input("samples", tooltip="The latent to decode."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                *window_inputs("decoded", "VAE Decode"),
            ],
            outputs=[io.Image.Output("image", display_name="IMAGE", tooltip="The decoded picture.")],
        )

    @classmethod
    def execute(cls, samples, vae, **asked):
        latent = samples["samples"]
        require_latent_of(vae, latent)
        canvas = canvas_size(latent)
        fits = partial(decodes_in_memory, vae, latent)
        params = window_params(canvas, vae.spacial_compression_decode(), fits, **asked)
        return io.NodeOutput(decode_canvas(vae, latent, params.wrap, params))

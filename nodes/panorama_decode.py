"""From latent to picture, window by window."""

from dataclasses import replace

from comfy_api.latest import io

from ..core.canvas.decode import DecodeParams, decode_in_windows, decode_plan, largest_window, least_window
from ..core.canvas.windows import Size, Wrap, canvas_size
from .host.vae import decoder, fits_in_memory, require_latent_of
from .pixels import cells


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
            search_aliases=["panorama", "360", "tiled vae", "vae decode tiled", "seamless", "equirectangular"],
            inputs=[
                io.Latent.Input("samples", tooltip="The latent to decode."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Boolean.Input(
                    "wrap_x",
                    default=False,
                    optional=True,
                    tooltip="The left and the right edge meet (a 360 degree panorama).",
                ),
                io.Boolean.Input("wrap_y", default=False, optional=True, tooltip="The top and the bottom edge meet."),
                io.Int.Input(
                    "window",
                    default=0,
                    min=0,
                    max=16384,
                    step=8,
                    optional=True,
                    tooltip="Size in pixels of what is decoded at once. 0: as much as memory holds. If that is "
                    "everything, the result is exactly that of VAE Decode.",
                ),
                io.Int.Input(
                    "context",
                    default=64,
                    min=0,
                    max=2048,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip="Pixels around each window that the VAE sees too, but that are thrown away.",
                ),
                io.Int.Input(
                    "blend",
                    default=64,
                    min=0,
                    max=2048,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip="Pixels over which neighbouring windows fade into each other.",
                ),
            ],
            outputs=[io.Image.Output("image", display_name="IMAGE", tooltip="The decoded picture.")],
        )

    @classmethod
    def execute(cls, samples, vae, wrap_x=False, wrap_y=False, window=0, context=64, blend=64):
        latent = samples["samples"]
        require_latent_of(vae, latent)
        pixels_per_cell = vae.spacial_compression_decode()
        params = DecodeParams(
            window=Size(cells("window", window, pixels_per_cell), cells("window", window, pixels_per_cell)),
            context=cells("context", context, pixels_per_cell),
            blend=cells("blend", blend, pixels_per_cell),
            wrap=Wrap(y=wrap_y, x=wrap_x),
        )
        canvas = canvas_size(latent)
        if window == 0:
            largest = largest_window(canvas, params, lambda size: fits_in_memory(vae, latent, size))
            params = replace(params, window=largest)
        elif window < (least := pixels_per_cell * max(least_window(canvas, params))):
            raise ValueError(
                f"window: must be at least {least} pixels here (all of the canvas, or twice context {context}, plus "
                f"blend {blend}, and something to draw), got {window}; make window larger, or context or blend less."
            )
        decode = decoder(vae, len(decode_plan(canvas, params)))
        pixels = decode_in_windows(latent, decode, params).movedim(-3, -1)
        return io.NodeOutput(pixels.reshape(-1, *pixels.shape[-3:]))

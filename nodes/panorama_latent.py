"""The canvas to start from."""

from comfy_api.latest import io

from ..core.canvas.placement import fit_inside, mask_outside, place
from ..core.canvas.windows import Size, crop
from .host.latents import empty, encode, latent_space
from .pixels import cells, size_in_cells

PLACEMENTS = OUTPAINT, CROP, STRETCH = "outpaint", "img2img, crop", "img2img, stretch"


class PanoramaLatent(io.ComfyNode):
    """An empty canvas, a picture to paint around, or a picture over the whole canvas."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaLatent",
            display_name="Panorama Latent",
            category="joint diffusion",
            description="The canvas of a panorama: empty, with an image to paint around, or covered by an image to "
            "start from.",
            search_aliases=[
                "panorama",
                "360",
                "canvas",
                "outpaint",
                "empty latent",
                "multidiffusion",
                "tiled diffusion",
            ],
            inputs=[
                io.Int.Input(
                    "width",
                    default=2048,
                    min=8,
                    max=65536,
                    step=8,
                    tooltip="Width of the panorama in pixels. Must be a multiple of the pixels of a latent cell, "
                    "usually 8.",
                ),
                io.Int.Input(
                    "height",
                    default=512,
                    min=8,
                    max=65536,
                    step=8,
                    tooltip="Height of the panorama in pixels. Must be a multiple of the pixels of a latent cell, "
                    "usually 8.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="Number of panoramas."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample. It decides the channels of the latent and the pixels of a "
                    "cell. Without it, cells have 8 pixels, and the sampler adapts the empty latent.",
                ),
                io.Image.Input("image", optional=True, tooltip="An image to put on the canvas. Needs vae."),
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model. Encodes the image."),
                io.Combo.Input(
                    "placement",
                    options=list(PLACEMENTS),
                    default=OUTPAINT,
                    optional=True,
                    tooltip="outpaint: keeps the image and paints around it (makes a noise mask; set denoise to 1). "
                    "img2img: the image covers the canvas, cropped or stretched (set denoise below 1).",
                ),
                io.Float.Input(
                    "image_scale",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Outpaint: size of the image. 1: the largest that fits on the canvas. 0.5: half of that.",
                ),
                io.Float.Input(
                    "image_x",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Outpaint: horizontal place of the image. 0: left, 1: right.",
                ),
                io.Float.Input(
                    "image_y",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Outpaint: vertical place of the image. 0: top, 1: bottom.",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip="Outpaint: width in pixels of the edge of the image that fades into its surroundings. "
                    "Best with Differential Diffusion, a node of ComfyUI, before the sampler.",
                ),
            ],
            outputs=[io.Latent.Output("latent", display_name="LATENT", tooltip="The canvas, for a sampler.")],
        )

    @classmethod
    def execute(
        cls,
        width,
        height,
        batch_size,
        model=None,
        image=None,
        vae=None,
        placement=OUTPAINT,
        image_scale=1.0,
        image_x=0.5,
        image_y=0.5,
        feather=0,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {batch_size}.")
        if placement not in PLACEMENTS:
            raise ValueError(f"placement: must be one of {'; '.join(PLACEMENTS)}, got {placement!r}.")
        space = latent_space(model, vae)
        canvas = size_in_cells(height, width, space.pixels_per_cell, least=1)
        samples = empty(space, batch_size, canvas)
        latent = {"samples": samples, "downscale_ratio_spacial": space.pixels_per_cell}
        if image is None:
            return io.NodeOutput(latent)
        if vae is None:
            raise ValueError("vae: an image needs the VAE of the model to become a latent; connect one.")
        if len(image) not in (1, batch_size):
            raise ValueError(f"image: must be 1 picture or batch_size ({batch_size}) pictures, got {len(image)}.")
        if placement == OUTPAINT:
            size = fit_inside(canvas, Size(*image.shape[1:3]), image_scale)
            window = place(canvas, size, image_x, image_y)
            crop(samples, window)[:] = encode(vae, image, space, size)
            latent["noise_mask"] = mask_outside(canvas, window, cells("feather", feather, space.pixels_per_cell))[
                None, None
            ]
        else:
            samples[:] = encode(vae, image, space, canvas, crop=placement == CROP)
        return io.NodeOutput(latent)

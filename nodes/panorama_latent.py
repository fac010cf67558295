"""The canvas to start from."""

from typing import Any

from comfy_api.latest import io

from ..core.canvas.outpainting import fit_inside, mask_outside, place
from ..core.canvas.windows import Size, Wrap, crop
from .colours import colours_of
from .host.latents import LatentSpace, empty, encode, latent_space
from .host.settings import wrap_of
from .pixels import cells, size_in_cells
from .search_words import LARGE
from .shared_inputs import part_input, pixels_input, require_choice, require_nothing_left_over

CONTENTS = EMPTY, OUTPAINT, IMG2IMG = "empty", "outpaint", "img2img"
FITS = CROP, STRETCH = "crop", "stretch"


class PanoramaLatent(io.ComfyNode):
    """An empty canvas, an image to paint around, or an image that covers the canvas."""

    @classmethod
    def define_schema(cls):
        fit = io.Combo.Input(
            "fit",
            options=list(FITS),
            default=CROP,
            tooltip="If the image has other proportions than the canvas, it is cropped or stretched.",
        )
        return io.Schema(
            node_id="PanoramaLatent",
            display_name="Panorama Latent",
            category="joint diffusion",
            description="The canvas of a panorama: empty, with an image to paint around, or covered by an image to "
            "paint over.",
            search_aliases=[
                *LARGE,
                "360",
                "vr",
                "equirectangular",
                "canvas",
                "outpaint",
                "expand image",
                "zoom out",
                "empty latent",
                "img2img",
            ],
            inputs=[
                *(
                    pixels_input(
                        side,
                        f"{side.title()} of the panorama in pixels. Must be a multiple of the pixels of a latent cell, "
                        "usually 8.",
                        default=default,
                        least=8,
                        most=65536,
                    )
                    for side, default in (("width", 2048), ("height", 512))
                ),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="Number of panoramas."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample. It decides the channels of the latent and the pixels of a "
                    "cell. Without it, cells have 8 pixels, and the sampler adapts the empty latent.",
                ),
                io.DynamicCombo.Input(
                    "content",
                    options=[
                        io.DynamicCombo.Option(EMPTY, []),
                        io.DynamicCombo.Option(OUTPAINT, [*image_inputs(), *outpaint_inputs()]),
                        io.DynamicCombo.Option(IMG2IMG, [*image_inputs(), fit]),
                    ],
                    optional=True,
                    tooltip="empty: all of it is painted. outpaint: an image is kept, and the canvas around it is "
                    "painted; set denoise to 1. img2img: an image covers the canvas and is painted over; set denoise "
                    "below 1.",
                ),
            ],
            outputs=[io.Latent.Output("latent", display_name="LATENT", tooltip="The canvas, for a sampler.")],
        )

    @classmethod
    def execute(cls, width, height, batch_size, model=None, content=None, **left_over):
        require_nothing_left_over("content", CONTENTS, left_over)
        if batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {batch_size}.")
        settings: dict[str, Any] = dict(content or {"content": EMPTY})
        kind = settings.pop("content")
        require_choice("content", kind, CONTENTS)
        space = latent_space(model, settings.get("vae"))
        canvas = size_in_cells(height, width, space.pixels_per_cell, least=1)
        latent = {"samples": empty(space, batch_size, canvas), "downscale_ratio_spacial": space.pixels_per_cell}
        if kind != EMPTY:
            images = len(settings["image"])
            if images not in (1, batch_size):
                raise ValueError(f"image: must be 1 picture or batch_size ({batch_size}) pictures, got {images}.")
            settings["image"] = colours_of("image", settings["image"])
        if kind == OUTPAINT:
            outpaint(latent, space, canvas, wrap_of(model), **settings)
        elif kind == IMG2IMG:
            cover(latent, space, canvas, wrap_of(model), **settings)
        return io.NodeOutput(latent)


def image_inputs() -> list:
    """image and vae."""
    return [
        io.Image.Input("image", tooltip="One image, or one for each panorama of the batch."),
        io.Vae.Input("vae", tooltip="The VAE of the model. Encodes the image."),
    ]


def outpaint_inputs() -> list:
    """How large the image is, where it is, and how it ends."""
    return [
        part_input(
            "image_scale",
            "Size of the image. 1: the largest that fits on the canvas. 0.5: half of that.",
            default=1.0,
            least=0.01,
            step=0.01,
        ),
        part_input("image_x", "Horizontal position of the image. 0: left, 1: right.", default=0.5, step=0.01),
        part_input("image_y", "Vertical position of the image. 0: top, 1: bottom.", default=0.5, step=0.01),
        pixels_input(
            "feather",
            "Width in pixels of the strip along the edges of the image that fades into its surroundings. Works best "
            "with Differential Diffusion, a node of ComfyUI, before the sampler.",
            most=4096,
        ),
    ]


def outpaint(
    latent: dict,
    space: LatentSpace,
    canvas: Size,
    wrap: Wrap,
    *,
    image,
    vae,
    image_scale=1.0,
    image_x=0.5,
    image_y=0.5,
    feather=0,
) -> None:
    """Puts the image on the empty canvas, and masks the rest.

    Raises:
        ValueError: an image that covers the canvas, a VAE of another model, or a number that is out of its range.
    """
    size = fit_inside(canvas, Size(*image.shape[1:3]), image_scale)
    window = place(canvas, size, image_x, image_y)
    if size == canvas:
        raise ValueError(
            f"content: outpaint keeps the image, and this one covers the canvas of {canvas.width} x {canvas.height} "
            "latent cells, so nothing would be painted; make the canvas larger or image_scale smaller, or choose "
            "img2img to paint the image anew."
        )
    latent["noise_mask"] = mask_outside(canvas, window, cells("feather", feather, space.pixels_per_cell))[None, None]
    # Its edges meet where it goes all the way around, such as a strip that becomes a sphere.
    around = Wrap(y=wrap.y and size.height == canvas.height, x=wrap.x and size.width == canvas.width)
    crop(latent["samples"], window)[:] = encode(vae, image, space, size, wrap=around, progress=True)


def cover(latent: dict, space: LatentSpace, canvas: Size, wrap: Wrap, *, image, vae, fit=CROP) -> None:
    """Covers the canvas with the image.

    Raises:
        ValueError: an unknown `fit`, or a VAE of another model.
    """
    require_choice("fit", fit, FITS)
    latent["samples"][:] = encode(vae, image, space, canvas, crop=fit == CROP, wrap=wrap, progress=True)

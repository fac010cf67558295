"""A picture made larger in one node: upscaled, painted in windows that are fused at every step, and decoded."""

from comfy_api.latest import io

from ..core.canvas.windows import Wrap
from .colours import colours_of
from .host.windows.enlarge import Enlargement, enlarge
from .ksampler_inputs import denoise_input, ksampler_inputs
from .panorama_windows import MOVING, WINDOWS
from .search_words import UPSCALE
from .shared_inputs import require_choice
from .structure_inputs import END, structure_inputs

MOST = 8.0


class JointUpscale(io.ComfyNode):
    """Image to larger image, with its layout kept at any denoise."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="JointUpscale",
            display_name="Joint Upscale",
            category="joint diffusion",
            description="Enlarges a picture, or refines it at its size. All windows of the model are painted together, "
            "so there are no seams and no repeated subjects, and structure keeps the layout at any denoise.",
            search_aliases=[
                *UPSCALE,
                "tiled diffusion",
                "super resolution",
                "creative upscale",
                "texture",
                "seamless",
                "tiling",
                "wrap",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Any image model. Its Panorama Windows are used if it has any."),
                io.Conditioning.Input("positive", tooltip="What the picture shows."),
                io.Conditioning.Input("negative", tooltip="What not to show."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Image.Input("image", tooltip="The picture to enlarge, or a batch of pictures of one size."),
                io.Float.Input(
                    "upscale_by",
                    default=2.0,
                    min=1.0,
                    max=MOST,
                    step=0.05,
                    tooltip="How many times as wide and high. 1: refined at its size.",
                ),
                *ksampler_inputs(),
                denoise_input("starts from the enlarged picture (img2img)."),
                *structure_inputs(),
                io.Combo.Input(
                    "windows",
                    options=[*WINDOWS],
                    default=MOVING,
                    optional=True,
                    tooltip="moving: windows side by side that are somewhere else in every step. overlapping: windows "
                    "are blended, two to four times as slow; for structure near 0. Not used if the model has Panorama "
                    "Windows.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model", optional=True, tooltip="Makes the larger picture to start from; else Lanczos."
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=65536,
                    optional=True,
                    advanced=True,
                    tooltip="Width in pixels, in place of upscale_by. 0: from height and the proportions.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=65536,
                    optional=True,
                    advanced=True,
                    tooltip="Height in pixels, in place of upscale_by. 0: from width and the proportions.",
                ),
                io.Boolean.Input("wrap_x", default=False, optional=True, tooltip="Left and right edge meet."),
                io.Boolean.Input("wrap_y", default=False, optional=True, tooltip="Top and bottom edge meet."),
            ],
            outputs=[
                io.Image.Output("image", display_name="IMAGE", tooltip="The enlarged picture."),
                io.Latent.Output("latent", display_name="LATENT", tooltip="What was sampled, for another sampler."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        vae,
        image,
        upscale_by,
        structure,
        structure_end=END,
        windows=MOVING,
        upscale_model=None,
        width=0,
        height=0,
        wrap_x=False,
        wrap_y=False,
        **ksampler,
    ):
        require_choice("windows", windows, WINDOWS)
        image = colours_of("image", image)
        enlargement = Enlargement(
            size=target_size(image.shape[1], image.shape[2], upscale_by, height, width),
            structure=structure,
            structure_end=structure_end,
            moving=windows == MOVING,
            wrap=Wrap(y=wrap_y, x=wrap_x),
        )
        enlarged, latent = enlarge(
            model, vae, image, enlargement, upscale_model, positive=positive, negative=negative, **ksampler
        )
        return io.NodeOutput(enlarged, {"samples": latent})


def target_size(height: int, width: int, upscale_by: float, to_height: int, to_width: int) -> tuple[int, int]:
    """Height and width in pixels of the enlarged picture.

    Raises:
        ValueError: smaller than the picture, more than `MOST` times as large, or of other proportions.
    """
    given = [name for name, pixels in (("width", to_width), ("height", to_height)) if pixels]
    factor = max(to_width / width, to_height / height) if given else upscale_by
    if not 1 <= factor <= MOST:
        raise ValueError(
            f"{', '.join(given) or 'upscale_by'}: a picture of {width} x {height} pixels can be made 1 to {MOST:g} "
            f"times as large, got {factor:.3g} times; enlarge it in several steps, or make it smaller before."
        )
    size = to_height or round(height * factor), to_width or round(width * factor)
    if abs(size[0] / height - size[1] / width) > 0.02 * factor:
        raise ValueError(
            f"width, height: {size[1]} x {size[0]} has other proportions than the picture ({width} x {height}); set "
            "one of them to 0, or crop the picture before."
        )
    return size

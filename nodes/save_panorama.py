"""From latent to file, without the picture in between."""

from collections.abc import Iterable, Iterator

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core.canvas.decode import decode_in_bands, decode_plan
from ..core.canvas.windows import Size, canvas_size
from .colours import require_pictures
from .gpano import PROJECTIONS, Projection, gpano
from .host.files import counted, output_file, workflow_of
from .host.vae import decoder, decodes_in_memory, require_latent_of
from .png_file import write_png
from .shared_inputs import require_choice, require_nothing_left_over
from .streamed_picture import StreamedPicture, rows_at_once
from .tiled_files import write_deep_zoom, write_tiff
from .vae_windows import window_inputs, window_params
from .written_whole import written_whole

SOURCES = LATENT, IMAGES = "latent", "images"
WRITERS = {"png": write_png, "tif": write_tiff, "dzi": write_deep_zoom}
BROWSER_SIDE = 4096  # a PNG up to this size is shown in the graph itself, a larger one as a small copy
# Bytes of one row of windows in floats. A picture that takes no more is decoded in the windows of Panorama Decode; in a
# larger one the automatic window is smaller than what the device holds.
ROW_OF_WINDOWS = 2**28
BYTES_PER_PIXEL = 3 * 4


class SavePanorama(io.ComfyNode):
    """Decodes and saves at once, row by row."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SavePanorama",
            display_name="Save Panorama",
            category="joint diffusion",
            description="Decodes a latent of any size and saves it row by row: memory does not grow with the picture. "
            "Writes PNG, TIFF with a pyramid, or Deep Zoom, and what viewers need to turn a 360 degree panorama.",
            search_aliases=[
                "panorama",
                "save image",
                "large image",
                "big image",
                "gigapixel",
                "tiff",
                "bigtiff",
                "deep zoom",
                "dzi",
                "360",
                "vr",
                "equirectangular",
                "gpano",
                "photo sphere",
            ],
            is_output_node=True,
            inputs=[
                io.DynamicCombo.Input(
                    "source",
                    options=[
                        io.DynamicCombo.Option(LATENT, latent_inputs()),
                        io.DynamicCombo.Option(IMAGES, [image_input()]),
                    ],
                    tooltip="latent: is decoded while it is saved, so memory does not limit its size. images: decoded "
                    "pictures, which take 12 bytes of memory a pixel.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="panorama",
                    tooltip="Where to save, in ComfyUI's output folder; with the placeholders of Save Image.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(WRITERS),
                    default="png",
                    tooltip="png: opens everywhere. tif: tiles at all resolutions, without loss. dzi: Deep Zoom, for "
                    "the web. The last two need pyvips.",
                ),
                io.Combo.Input(
                    "projection",
                    options=list(PROJECTIONS),
                    default="none",
                    tooltip="equirectangular: the width is a full turn, and viewers turn the picture around you. Set "
                    "wrap_x, too.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(
        cls, source=None, filename_prefix="panorama", format="png", projection: Projection = "none", **left_over
    ):
        require_nothing_left_over("source", SOURCES, left_over)
        if source is None:
            raise ValueError(f"source: must be one of {', '.join(SOURCES)}, got none of them; choose one.")
        # The host fills in None for what a prompt leaves out.
        settings = {name: value for name, value in source.items() if value is not None}
        kind = settings.pop("source")
        require_choice("source", kind, SOURCES)
        require_choice("format", format, WRITERS)
        require_choice("projection", projection, PROJECTIONS)
        size, pictures = decoded_bands(**settings) if kind == LATENT else rows_of(**settings)
        xmp, texts = gpano(projection, size), workflow_of(cls)
        saved, previews = [], []
        for number, bands in enumerate(pictures):
            picture = StreamedPicture(size, bands)
            prefix = filename_prefix.replace("%batch_num%", str(number))
            path, result = output_file(prefix, format, size)
            with written_whole(path) as unfinished:
                WRITERS[format](unfinished, picture, texts, xmp)
            saved.append(result)
            previews.append(picture.preview)
        shown = saved
        if format != "png" or max(size) > BROWSER_SIDE:
            shown = ui.PreviewImage(torch.stack(previews).movedim(1, -1), cls=cls).as_dict()["images"]
        # `images` is what the graph shows; `saved` are the files, for those who asked through the API.
        return io.NodeOutput(ui={"images": shown, "saved": saved})


def latent_inputs() -> list:
    """samples and vae, and the windows."""
    return [
        io.Latent.Input("samples", tooltip="The latent to decode and save."),
        io.Vae.Input("vae", tooltip="The VAE of the model."),
        *window_inputs("decoded", "VAE Decode"),
    ]


def image_input() -> io.Image.Input:
    """images."""
    return io.Image.Input("images", tooltip="The pictures to save.")


def decoded_bands(
    *, samples, vae, wrap_x=False, wrap_y=False, window=0, context=64, blend=64
) -> tuple[Size, Iterator[Iterable[Tensor]]]:
    """The size in pixels of the pictures of a LATENT, and of each the bands of `decode_in_bands`.

    Raises:
        ValueError: a latent of another model, a film, or windows that do not fit.
    """
    latent = samples["samples"]
    require_latent_of(vae, latent)
    if latent.ndim == 5 and latent.shape[2] > 1:
        raise ValueError(
            f"samples: must be single pictures, got a film of {latent.shape[2]} latent frames; use Panorama Decode and "
            "Save Video."
        )
    canvas, per_cell = canvas_size(latent), vae.spacial_compression_decode()
    row = BYTES_PER_PIXEL * per_cell**2 * canvas.width

    def fits(size: Size) -> bool:
        return row * min(size.height, canvas.height) <= ROW_OF_WINDOWS and decodes_in_memory(vae, latent, size)

    asked = {"wrap_x": wrap_x, "wrap_y": wrap_y, "window": window, "context": context, "blend": blend}
    params = window_params(canvas, per_cell, fits, **asked)
    decode = decoder(vae, len(latent) * len(decode_plan(canvas, params)))
    return canvas.scaled(per_cell), (decode_in_bands(one, decode, params) for one in latent.split(1))


def rows_of(*, images: Tensor) -> tuple[Size, Iterator[Iterable[Tensor]]]:
    """The size of the pictures of an IMAGE (B, H, W, C), and of each bands (C, rows, W).

    Raises:
        ValueError: no picture.
    """
    require_pictures("images", images)
    size = Size(*images.shape[1:3])
    bands = (image.split(rows_at_once(size.width), 1) for image in images.movedim(-1, 1))
    return size, (counted(of_one, len(of_one)) for of_one in bands)

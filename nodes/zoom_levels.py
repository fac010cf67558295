"""The levels of a zoom as nodes take them: an IMAGE batch, outermost first, and how its levels nest."""

from comfy_api.latest import io
from torch import Tensor

from .colours import colours_of
from .shared_inputs import ADVANCED

IMAGES = io.Image.Input("images", tooltip="The levels of the zoom, outermost first, as Zoom Stack Sampler gives them.")
ZOOM_FACTOR = io.Int.Input(
    "zoom_factor",
    default=2,
    min=2,
    max=64,
    tooltip="How many times larger each level shows the centre of the level before. Connect zoom_factor of Zoom "
    "Prompts.",
)
PIXELS_PER_CELL = io.Int.Input(
    "pixels_per_cell",
    default=8,
    min=1,
    max=256,
    tooltip="Pixels of a latent cell of the model that painted the levels: 8 for most models, 1 for pictures from "
    "elsewhere. It matters only if zoom_factor does not divide the size of a level.",
    **ADVANCED,
)


def zoom_levels(images: Tensor, pixels_per_cell: int) -> Tensor:
    """IMAGE (N, H, W, C) as a zoom stack (N, 3, H, W); the colours are those of `colours_of`.

    Raises:
        ValueError: one level, `pixels_per_cell` below 1, or sides that are no multiple of it.
    """
    count, height, width, _ = images.shape
    if count < 2:
        raise ValueError(f"images: a zoom has at least 2 levels, got {count}; connect a batch, outermost level first.")
    if pixels_per_cell < 1:
        raise ValueError(
            f"pixels_per_cell: must be at least 1, got {pixels_per_cell}; set 8 for most models, 1 for pictures from "
            "elsewhere."
        )
    if height % pixels_per_cell or width % pixels_per_cell:
        raise ValueError(
            f"pixels_per_cell: the levels must be a multiple of it, {pixels_per_cell}, but are {width} x {height} "
            "pixels; set it to 1 for pictures that no latent model painted."
        )
    return colours_of("images", images).movedim(-1, 1)

"""The picture that an enlarged canvas follows, brought to the scale at which it is followed."""

from typing import NamedTuple

from comfy.model_base import BaseModel
from torch import Tensor

from ....core.canvas.windows import Size, Wrap
from ....core.correction import RollOff
from ....core.methods.structure import StructureParams, scales_for
from ..latents import encode, latent_space
from ..settings import Picture
from .spatial import same_proportions

DEFAULT = StructureParams().roll_off
# Noise over picture at which the strength begins to fall, in times that at which it is gone.
FALL = DEFAULT.full / DEFAULT.none


class Followed(NamedTuple):
    """How a picture is followed, and its latent (B, C, ..., h, w) in the model's own space."""

    params: StructureParams
    latent: Tensor


def followed(picture: Picture, model: BaseModel, canvas: Size, batch: int, wrap: Wrap) -> Followed:
    """For a canvas of this size and `batch` rows.

    Raises:
        ValueError: other proportions than those of the canvas, an enlargement beyond 1..8, or another batch size.
    """
    space = latent_space(model.current_patcher)
    count, height, width = picture.image.shape[:3]
    whole = canvas.scaled(space.pixels_per_cell)
    if not same_proportions(Size(height, width), whole):
        raise ValueError(
            f"image: has other proportions ({width} x {height} pixels) than the canvas ({whole.width} x "
            f"{whole.height}); crop it, or choose a canvas of its proportions."
        )
    if count not in (1, batch):
        raise ValueError(f"image: must be 1 picture or {batch}, one for each row of the latent, got {count}.")
    roll_off = RollOff(full=FALL * picture.end, none=picture.end)
    scales = scales_for(max(whole.height / height, whole.width / width, 1.0) * picture.enlargement)
    params = StructureParams(scales=scales, strength=picture.strength, roll_off=roll_off)
    latent = encode(picture.vae, picture.image, space, params.picture_size(canvas), wrap=wrap)
    return Followed(params, model.process_latent_in(latent))

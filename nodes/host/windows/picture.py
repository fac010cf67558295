"""The picture that an enlarged canvas follows, brought to the scale at which it is followed."""

from dataclasses import replace
from typing import NamedTuple

from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....core.canvas.windows import Size
from ....core.correction import RollOff
from ....core.joint_params import JointParams
from ....core.methods.multidiffusion import WindowParams
from ....core.methods.multiscale import FACTOR, MOST_SCALES
from ....core.methods.structure import StructureParams, check_structure, scales_for
from ..latents import LatentSpace, encode, latent_space
from ..settings import Picture, joint_params, settings_of
from .spatial import same_proportions

DEFAULT = StructureParams().roll_off
# Noise over picture at which the strength begins to fall, in times that at which it is gone.
FALL = DEFAULT.full / DEFAULT.none
MOST = FACTOR ** (MOST_SCALES - 1)  # times that a canvas can be as large as the picture


class Followed(NamedTuple):
    """How a picture is followed, and its latent (B, C, ..., h, w) in the model's own space."""

    params: StructureParams
    latent: Tensor


def followed(picture: Picture, model: BaseModel, canvas: Size, batch: int, windows: WindowParams) -> Followed:
    """For a canvas of this size and `batch` rows.

    Raises:
        ValueError: other proportions than those of the canvas, an enlargement beyond 1..8, another batch size, or a
            canvas that is too small.
    """
    space, count = latent_space(model.current_patcher), len(picture.image)
    params = structure_params(picture, space, canvas)
    if count not in (1, batch):
        raise ValueError(f"image: must be 1 picture or {batch}, one for each row of the latent, got {count}.")
    check_structure(canvas, windows, params)
    latent = encode(picture.vae, picture.image, space, params.picture_size(canvas), wrap=windows.wrap)
    return Followed(params, model.process_latent_in(latent))


def canvas_params(model: ModelPatcher, canvas: Size) -> JointParams:
    """`joint_params` of a model for a canvas, with those of the picture that it follows; nothing is encoded.

    Raises:
        ValueError: as `structure_params`.
    """
    params, picture = joint_params(model), settings_of(model.model_options).picture
    if picture is None or picture.strength == 0:
        return params
    return replace(params, structure=structure_params(picture, latent_space(model), canvas))


def structure_params(picture: Picture, space: LatentSpace, canvas: Size) -> StructureParams:
    """How a picture is followed on a canvas of so many latent cells.

    Raises:
        ValueError: other proportions than those of the canvas, or an enlargement beyond 1..8.
    """
    height, width = picture.image.shape[1:3]
    whole = canvas.scaled(space.pixels_per_cell)
    if not same_proportions(Size(height, width), whole):
        raise ValueError(
            f"image: has other proportions ({width} x {height} pixels) than the canvas ({whole.width} x "
            f"{whole.height}); crop it, or choose a canvas of its proportions."
        )
    enlargement = max(whole.height / height, whole.width / width, 1.0) * picture.enlargement
    if enlargement > MOST:
        raise ValueError(
            f"image: the canvas must be at most {MOST} times as large as the picture ({width} x {height} pixels), got "
            f"{enlargement:.3g} times ({whole.width} x {whole.height}); enlarge it in several steps, or choose a "
            "smaller canvas."
        )
    roll_off = RollOff(full=FALL * picture.end, none=picture.end)
    return StructureParams(scales=scales_for(enlargement), strength=picture.strength, roll_off=roll_off)

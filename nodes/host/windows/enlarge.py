"""A picture enlarged by the host: resized, padded to whole windows, sampled, decoded and cropped."""

from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import comfy.utils
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel
from torch import Tensor
from torch.nn import functional

from ....core.canvas.windows import Size, Wrap
from ....core.methods.multiscale import FACTOR
from ....core.methods.structure import restored, scales_for
from ..gradients.vae import load_along
from ..ksampler import sample
from ..latents import empty, encode, latent_space, require_vae_of
from ..settings import Picture, joint_params, windows_of
from ..vae import decode_canvas
from .patch import with_settings

SEEN_AROUND = 32  # pixels of the other side that an upscale model sees at an edge that wraps


@dataclass(frozen=True, kw_only=True)
class Enlargement:
    """What becomes of a picture.

    Attributes:
        size: (height, width) in pixels.
        structure: how closely its layout is kept, 0..1.
        structure_end: noise over picture at which that ends.
        moving: windows that move, where the model has no Panorama Windows.
        wrap: edges that meet.
    """

    size: tuple[int, int]
    structure: float
    structure_end: float
    moving: bool
    wrap: Wrap


def enlarge(
    model: ModelPatcher, vae, image: Tensor, how: Enlargement, upscale_model=None, *, denoise: float, **as_in_ksampler
) -> tuple[Tensor, Tensor]:
    """Pictures (B, h, w, 3) enlarged, (B, H, W, 3), and the latent that they were decoded from.

    If the VAE paints transparency, the enlarged pictures have 4 channels, as those of VAE Decode.

    Raises:
        ValueError: the VAE of another model; other edges that meet than those of Panorama Windows; or edges
            that meet on a size that is no whole number of steps of the model's grid.
    """
    _require_edges_of(model, how)
    space = latent_space(model)
    require_vae_of(space, vae)
    enlargement = max(how.size[0] / image.shape[1], 1.0)
    step = lcm(space.grid, FACTOR ** (scales_for(enlargement) - 1)) * space.pixels_per_cell
    large = _padded(_resized(image, how, upscale_model), how, step)
    canvas = Size(large.shape[1] // space.pixels_per_cell, large.shape[2] // space.pixels_per_cell)
    changes = _windows(model, how)
    if how.structure != 0:
        changes["picture"] = Picture(
            image=large, vae=vae, strength=how.structure, end=how.structure_end, enlargement=enlargement
        )
    # In one clone: of a clone of a clone the host loses track when both are gone, and takes the model for a leak.
    model = with_settings(model, **changes)
    if how.structure != 0:
        load_along(model, vae)
    blank = denoise == 1  # pure noise: what it starts from does not matter
    latent = (
        empty(space, len(image), canvas) if blank else encode(vae, large, space, canvas, wrap=how.wrap, progress=True)
    )
    latent = sample(model, latent_image={"samples": latent}, denoise=denoise, **as_in_ksampler)["samples"]
    pixels = decode_canvas(vae, latent, how.wrap).clamp(0, 1)[:, : how.size[0], : how.size[1]]
    if how.structure > 0:
        colours = pixels[..., :3]  # the picture says nothing of transparency
        sizes = colours.movedim(-1, 1), image.to(pixels).movedim(-1, 1)
        colours.copy_(restored(*sizes, how.structure, how.wrap).movedim(1, -1))
    return pixels, latent


def _require_edges_of(model: ModelPatcher, how: Enlargement) -> None:
    """Refuse edges that would meet in the windows and not in the VAE, or the other way round: there would be a seam."""
    windows = windows_of(model)
    if windows is not None and windows.wrap != how.wrap:
        raise ValueError(
            f"wrap_x, wrap_y: must be as in Panorama Windows of the model, {windows.wrap.x} and {windows.wrap.y}, got "
            f"{how.wrap.x} and {how.wrap.y}; set both nodes alike."
        )


def _windows(model: ModelPatcher, how: Enlargement) -> dict[str, Any]:
    """The settings of windows, for a model that has none."""
    if windows_of(model) is not None:
        return {}
    return {"windows": replace(joint_params(model).windows, wrap=how.wrap, moving=how.moving)}


def _resized(image: Tensor, how: Enlargement, upscale_model) -> Tensor:
    if upscale_model is not None:
        around = tuple(min(SEEN_AROUND, side) * wraps for side, wraps in zip(image.shape[1:3], how.wrap, strict=True))
        seen = functional.pad(image.movedim(-1, 1), (around[1],) * 2 + (around[0],) * 2, mode="circular")
        larger = ImageUpscaleWithModel.execute(upscale_model, seen.movedim(1, -1)).args[0]
        top, left = (round(side * upscale_model.scale) for side in around)
        image = larger[:, top : larger.shape[1] - top, left : larger.shape[2] - left]
    pixels = comfy.utils.common_upscale(image.movedim(-1, 1), how.size[1], how.size[0], "lanczos", "disabled")
    return pixels.movedim(1, -1).clamp(0, 1)


def _padded(image: Tensor, how: Enlargement, step: int) -> Tensor:
    """With its last rows and columns repeated up to multiples of `step` pixels."""
    missing = [-side % step for side in how.size]
    for axis, pixels, wraps in zip(("height", "width"), missing, how.wrap, strict=True):
        if wraps and pixels:
            side = how.size[0 if axis == "height" else 1]
            nearest = [size for size in (side - side % step, side + pixels) if size]
            raise ValueError(
                f"{axis}: edges can only meet on a multiple of {step} pixels here, got {side}; nearest: "
                f"{' or '.join(map(str, nearest))}."
            )
    if not any(missing):
        return image
    return functional.pad(image.movedim(-1, 1), (0, missing[1], 0, missing[0]), mode="replicate").movedim(1, -1)

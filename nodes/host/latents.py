"""The host's latents: the space a model or VAE works in, empty canvases, and pictures encoded into them."""

from typing import NamedTuple

import comfy.model_management
import comfy.sample
import comfy.utils
import torch
from comfy.model_base import BaseModel
from torch import Tensor

from ...core.canvas.windows import NO_WRAP, Size, Wrap, canvas_size
from ...core.methods.scale_map import ScaleMap
from .families import grid
from .vae import encode_canvas, require_dimensions


class LatentSpace(NamedTuple):
    """What a latent of some model looks like: (B, channels, H, W), or (B, channels, 1, H, W) with time."""

    channels: int
    pixels_per_cell: int
    has_time: bool
    grid: int = 1  # width and height must be multiples of so many cells


# The host's own empty latent. The sampler adapts a latent of zeros to the model, in channels and size.
ANY_SPACE = LatentSpace(channels=4, pixels_per_cell=8, has_time=False)


def latent_space(model=None, vae=None) -> LatentSpace:
    """The space of the model, else of the VAE, else the one that the sampler adapts to any model."""
    if model is not None:
        latent_format = model.get_model_object("latent_format")
        has_time = latent_format.latent_dimensions == 3
        pixels_per_cell = latent_format.spacial_downscale_ratio
        return LatentSpace(latent_format.latent_channels, pixels_per_cell, has_time, grid(model))
    if vae is not None:
        return LatentSpace(vae.latent_channels, vae.spacial_compression_encode(), vae.latent_dim == 3)
    return ANY_SPACE


def scale_map_of(model: BaseModel) -> ScaleMap | None:
    """What is known of the model's latents at two scales; only the bundled model says it."""
    return getattr(model.latent_format, "scale_map", None)


def empty(space: LatentSpace, batch: int, canvas: Size) -> Tensor:
    """Zeros of that space, (batch, channels, H, W) or with time, on the device where the host keeps latents."""
    time = (1,) if space.has_time else ()
    return torch.zeros(
        (batch, space.channels, *time, *canvas),
        device=comfy.model_management.intermediate_device(),
        dtype=comfy.model_management.intermediate_dtype(),
    )


def sampled_size(model, samples: dict) -> Size:
    """The size of a LATENT as the sampler will see it: an empty one is made to fit the model first.

    Raises:
        ValueError: it is no latent of pictures or of one video.
    """
    latent = samples["samples"]
    require_dimensions(latent, "connect the latent that the sampler gets")
    fitted = comfy.sample.fix_empty_latent_channels(model, latent, samples.get("downscale_ratio_spacial"))
    return canvas_size(fitted)


def stack_latent(model, samples: dict, levels: int) -> Tensor:
    """A LATENT as the model samples it, with a row for each level; an empty latent may have one row for all of them.

    Raises:
        ValueError: it is no stack of that many pictures of this model.
    """
    latent = samples["samples"]
    if latent.is_nested or "noise_mask" in samples:
        what = "holds several streams, such as video and audio" if latent.is_nested else "has a noise mask"
        raise ValueError(
            f"latent_image: must be a plain stack of pictures, but this one {what}; connect the LATENT of another Zoom "
            "Stack Sampler, or nothing."
        )
    ratios = samples.get("downscale_ratio_spacial"), samples.get("downscale_ratio_temporal")
    latent = comfy.sample.fix_empty_latent_channels(model, latent, *ratios)
    if len(latent) == 1 and not latent.any():
        latent = latent.repeat(levels, *[1] * (latent.ndim - 1))
    if len(latent) != levels:
        raise ValueError(
            f"latent_image: must have one row for each of the {levels} levels of zoom_prompts, got {len(latent)}; "
            "connect a stack of as many levels, or an empty latent of batch size 1 for its size."
        )
    space = latent_space(model)
    expected = (space.channels, 1) if space.has_time else (space.channels,)
    if latent.shape[1:-2] != expected:
        raise ValueError(
            f"latent_image: each level must be one picture in the latents of this model, {expected} before height and "
            f"width, got {tuple(latent.shape[1:-2])}; encode it with the VAE of the model."
        )
    return latent


def encode(
    vae, image: Tensor, space: LatentSpace, size: Size, crop: bool = False, wrap: Wrap = NO_WRAP, progress: bool = False
) -> Tensor:
    """Pictures (B, H, W, C) as latents of `size` cells; cropped to its proportions, or stretched to them.

    `wrap` are the edges that meet. With `progress` the bar of the node shows the windows that are encoded.
    """
    height, width = size.height * space.pixels_per_cell, size.width * space.pixels_per_cell
    if image.shape[1:3] != (height, width):
        pixels = image.movedim(-1, 1)
        pixels = comfy.utils.common_upscale(pixels, width, height, "lanczos", "center" if crop else "disabled")
        image = pixels.movedim(1, -1)
    _require_frames_of(space, vae)
    latents = encode_canvas(vae, image, wrap, progress=progress)
    if space.has_time and latents.ndim == 4:
        latents = latents.unsqueeze(2)
    if latents.shape[1] != space.channels or latents.shape[-2:] != size:
        raise ValueError(
            f"vae: made latents of {latents.shape[1]} channels and {image.shape[2] // latents.shape[-1]} pixels per "
            f"cell, but the model works on {space.channels} channels and {space.pixels_per_cell} pixels per cell; "
            "use the VAE that belongs to the model."
        )
    return latents


def require_vae_of(space: LatentSpace, vae) -> None:
    """Refuse a VAE that cannot decode the latents of a model, before anything is sampled.

    Raises:
        ValueError: other channels, another size of cells, or frames that the model does not have.
    """
    channels, pixels_per_cell = vae.latent_channels, vae.spacial_compression_decode()
    if (channels, pixels_per_cell) != (space.channels, space.pixels_per_cell):
        raise ValueError(
            f"vae: works on latents of {channels} channels and {pixels_per_cell} pixels per cell, but the model on "
            f"{space.channels} channels and {space.pixels_per_cell} pixels per cell; "
            "use the VAE that belongs to the model."
        )
    _require_frames_of(space, vae)


def _require_frames_of(space: LatentSpace, vae) -> None:
    # The other way round it works: a VAE without frames is given the only one.
    if vae.latent_dim == 3 and not space.has_time:
        raise ValueError(
            "vae: works on latents with frames, (B, C, T, H, W), but the model on latents without, (B, C, H, W); use "
            "the VAE that belongs to the model."
        )

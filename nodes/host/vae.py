"""The host's VAE as the core's encoder and decoder, window by window."""

from dataclasses import replace
from functools import partial

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor
from torch.nn import functional

from ...core.canvas.decode import DecodeParams, Decoder, decode_in_windows, decode_plan, largest_window
from ...core.canvas.encode import encode_in_windows
from ...core.canvas.windows import NO_WRAP, Size, Wrap, canvas_size

# Of the device's memory; the rest belongs to the system and to what the host keeps for itself.
SHARE = 0.75


def decoder(vae, windows: int = 0) -> Decoder:
    """`vae.decode` that stops between windows when told to, and shows the progress if told how many there are."""
    progress = comfy.utils.ProgressBar(windows) if windows else None

    def decode(view: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        pixels = vae.decode(view).movedim(-1, -3)
        if progress is not None:
            progress.update(1)
        return pixels

    return decode


def decode_canvas(vae, latent: Tensor, wrap: Wrap = NO_WRAP, params: DecodeParams | None = None) -> Tensor:
    """A latent (B, C, ..., h, w) as pictures (N, H, W, C), N = B times its frames; otherwise as `encode_canvas`."""
    canvas = canvas_size(latent)
    if params is None:
        params = DecodeParams(window=canvas, wrap=wrap)
        params = replace(params, window=largest_window(canvas, params, partial(decodes_in_memory, vae, latent)))
    pixels = decode_in_windows(latent, decoder(vae, len(decode_plan(canvas, params))), params).movedim(-3, -1)
    return pixels.reshape(-1, *pixels.shape[-3:])


def decodes_in_memory(vae, latent: Tensor, window: Size) -> bool:
    """Whether a device that holds nothing but the VAE has room to decode one window of `latent`.

    Not what is free just now: the picture would depend on which other models happen to be loaded.
    """
    frames = latent.shape[2:-2] if vae.latent_dim == 3 else ()
    needed = vae.memory_used_decode((1, latent.shape[1], *frames, *window), vae.vae_dtype)
    return needed <= SHARE * comfy.model_management.get_total_memory(vae.device) - vae.model_size()


def encode_canvas(
    vae, image: Tensor, wrap: Wrap = NO_WRAP, params: DecodeParams | None = None, progress: bool = False
) -> Tensor:
    """Pictures (B, H, W, C) of any size as a latent (B, C, ..., h, w), in windows that the device holds.

    One picture at a time: a video VAE takes the pictures of a batch for the frames of one film.

    Args:
        vae: the host's VAE.
        image: sides are multiples of the pixels of a cell.
        wrap: edges that meet.
        params: the windows; None finds the largest that fit.
        progress: whether the node shows how many windows are done.
    """
    per_cell = vae.spacial_compression_encode()
    pixels = image.movedim(-1, 1)
    canvas = Size(pixels.shape[-2] // per_cell, pixels.shape[-1] // per_cell)
    if params is None:
        params = DecodeParams(window=canvas, wrap=wrap)
        params = replace(params, window=largest_window(canvas, params, partial(encodes_in_memory, vae)))
    bar = comfy.utils.ProgressBar(len(decode_plan(canvas, params)) * len(pixels)) if progress else None

    def encode(view: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if vae.output_channels == 4 and view.shape[-3] == 3:  # opaque; the host does so for some VAEs only
            view = opaque(view, vae.output_channels)
        latent = vae.encode(view.movedim(-3, -1))
        if bar is not None:
            bar.update(1)
        return latent

    return torch.cat([encode_in_windows(picture, encode, per_cell, params) for picture in pixels.split(1)])


def encodes_in_memory(vae, window: Size) -> bool:
    """Whether a device that holds nothing but the VAE has room to encode one window of a picture."""
    frames = (1,) if vae.latent_dim == 3 else ()
    needed = vae.memory_used_encode((1, 3, *frames, *window.scaled(vae.spacial_compression_encode())), vae.vae_dtype)
    return needed <= SHARE * comfy.model_management.get_total_memory(vae.device) - vae.model_size()


def opaque(colours: Tensor, channels: int) -> Tensor:
    """Pictures (..., 3, H, W) with as many channels as those of the VAE, which may paint transparency: 1 is opaque."""
    return functional.pad(colours, (0, 0, 0, 0, 0, channels - colours.shape[-3]), value=1.0)


def require_dimensions(latent: Tensor, way_out: str) -> None:
    """Refuse what is neither pictures nor videos.

    Raises:
        ValueError: several streams at once, or a wrong number of dimensions.
    """
    if latent.is_nested or latent.ndim not in (4, 5):
        what = "several streams, such as video and audio" if latent.is_nested else f"shape {tuple(latent.shape)}"
        raise ValueError(
            f"samples: must be a latent of 4 (B, C, H, W) or 5 (B, C, T, H, W) dimensions, got {what}; {way_out}."
        )


def require_latent_of(vae, latent: Tensor) -> None:
    """Refuse what this VAE cannot decode.

    Raises:
        ValueError: several streams at once, no picture, a wrong number of dimensions, or channels or dimensions of
            another model.
    """
    if latent.is_nested:
        raise ValueError("samples: this latent holds several streams, such as video and audio; use VAE Decode.")
    require_dimensions(latent, "connect the output of a sampler")
    if not len(latent):
        raise ValueError("samples: must be at least 1 picture, got an empty batch; connect one.")
    if latent.shape[1] != vae.latent_channels:
        raise ValueError(
            f"samples: this latent has {latent.shape[1]} channels, but the VAE decodes {vae.latent_channels}; "
            "use the VAE that belongs to the model."
        )
    if latent.ndim == 4 and vae.latent_dim == 3:
        raise ValueError(
            f"samples: this latent has no frames, got shape {tuple(latent.shape)}, but the VAE decodes (B, C, T, H, "
            "W); use the VAE that belongs to the model."
        )

"""Between the scales of a canvas: ds and us of Multi-Scale Diffusion, and what they do to the noise level."""

from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from ..step import signal
from .windows import Size

Downsampling = Literal["mean", "strided"]
DOWNSAMPLINGS: tuple[Downsampling, ...] = get_args(Downsampling)


def downsampled_size(size: Size, scale_factor: int) -> Size:
    """Size of a canvas after `downsample`: rounded up, so that no cell is lost."""
    return Size(-(-size.height // scale_factor), -(-size.width // scale_factor))


def downsample(x: Tensor, scale_factor: int, how: Downsampling = "mean") -> Tensor:
    """ds: (..., H, W) to (..., ceil(H / scale_factor), ceil(W / scale_factor)).

    Convention:
        - `mean` averages blocks of scale_factor x scale_factor cells (for 2 the same as bilinear interpolation, the
          example of MSD v1); `strided` takes the first cell of each block
        - where the scale_factor does not divide a side, the last block is the last `scale_factor` cells, and overlaps
          the one before: every coarse cell is a mean of equally many cells, so its noise level is the same everywhere

    Raises:
        ValueError: a side shorter than `scale_factor`.
    """
    if min(x.shape[-2:]) < scale_factor:
        raise ValueError(f"downsample: sides must be at least {scale_factor} cells, got {tuple(x.shape[-2:])}.")
    return _downsample_axis(_downsample_axis(x, -2, scale_factor, how), -1, scale_factor, how)


def _downsample_axis(x: Tensor, dim: int, scale_factor: int, how: Downsampling) -> Tensor:
    length = x.shape[dim]
    whole = x.narrow(dim, 0, length // scale_factor * scale_factor)
    # (..., blocks, scale_factor, ...): `dim` is now inside a block
    blocks = cast(Tensor, whole.unflatten(dim, (-1, scale_factor)))
    if length % scale_factor:
        last = x.narrow(dim, length - scale_factor, scale_factor).unsqueeze(dim - 1)
        blocks = torch.cat([blocks, last], dim - 1)
    return blocks.mean(dim) if how == "mean" else blocks.select(dim, 0)


def upsample(x: Tensor, scale_factor: int, size: Size) -> Tensor:
    """us: every coarse cell repeated scale_factor x scale_factor times and cut to `size`, (..., h, w) to (..., H, W).

    Where the scale_factor divides `size` this is scale_factor**2 times the transpose of `downsample(how="mean")`.
    """
    repeated = x.repeat_interleave(scale_factor, -2).repeat_interleave(scale_factor, -1)
    return repeated[..., : size.height, : size.width]


def enlarge(x: Tensor, size: Size, wrap: tuple[bool, bool] = (False, False)) -> Tensor:
    """A smooth (bicubic) enlargement by 2, (B, C, ..., h, w) to (B, C, ..., H, W).

    Coarse cell i lies over the fine cells 2 i and 2 i + 1; a fine side that is odd is cut off at the end.

    Args:
        x: coarse canvas.
        size: H and W, at most twice h and w.
        wrap: (y, x), the edges that meet.
    """
    flat = x.flatten(1, -3)
    margin = 2  # cells on either side that a bicubic kernel sees
    padding = [margin, margin, 0, 0], [0, 0, margin, margin]
    for sides, meets in zip(padding, (wrap[1], wrap[0]), strict=True):
        flat = nn.functional.pad(flat, sides, mode="circular" if meets else "replicate")
    large = nn.functional.interpolate(flat, scale_factor=2.0, mode="bicubic", align_corners=False)
    inside = large[..., 2 * margin : 2 * margin + size.height, 2 * margin : 2 * margin + size.width]
    return inside.reshape(*x.shape[:-2], *size)


class NoisyScale(NamedTuple):
    """A canvas (B, ..., H, W) and the noise level that a model must be told for it."""

    x: Tensor
    sigma: float


def at_own_noise_level(x: Tensor, sigma: float, scale_factor: int, flow: bool) -> NoisyScale:
    """The mean-downsampled canvas together with the noise level it really has.

    The mean of f x f cells (f: scale_factor) of x0 + sigma n is ds(x0) + (sigma / f) n: it is less noisy than the model
    would be told. Flow models (x = (1 - sigma) x0 + sigma n) also need the coefficients to sum to one again, so the
    coarse canvas is rescaled; its denoised prediction is in the same space as the fine one's either way.
    """
    coarse = downsample(x, scale_factor)
    if not flow:
        return NoisyScale(coarse, sigma / scale_factor)
    rescale = 1 / (signal(sigma, flow) + sigma / scale_factor)
    return NoisyScale(coarse * rescale, sigma / scale_factor * rescale)

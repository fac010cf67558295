"""Between the scales of a canvas: ds and us of Multi-Scale Diffusion, and what they do to the noise level."""

from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from ..step import signal
from .windows import Size

Downsampling = Literal["mean", "strided"]
DOWNSAMPLINGS: tuple[Downsampling, ...] = get_args(Downsampling)


def downsampled_size(size: Size, factor: int) -> Size:
    """Size of a canvas after `downsample`: rounded up, so that no cell is lost."""
    return Size(-(-size.height // factor), -(-size.width // factor))


def downsample(x: Tensor, factor: int, how: Downsampling = "mean") -> Tensor:
    """ds: (..., H, W) to (..., ceil(H / factor), ceil(W / factor)).

    Convention:
        - `mean` averages blocks of factor x factor cells (for factor 2 the same as bilinear interpolation, the
          example of MSD v1); `strided` takes the first cell of each block
        - where the factor does not divide a side, the last block is the last `factor` cells, overlapping the one
          before: every coarse cell is a mean of equally many cells, so its noise level is the same everywhere

    Raises:
        ValueError: a side shorter than `factor`.
    """
    if min(x.shape[-2:]) < factor:
        raise ValueError(f"downsample: sides must be at least {factor} cells, got {tuple(x.shape[-2:])}.")
    return _downsample_axis(_downsample_axis(x, -2, factor, how), -1, factor, how)


def _downsample_axis(x: Tensor, dim: int, factor: int, how: Downsampling) -> Tensor:
    length = x.shape[dim]
    whole = x.narrow(dim, 0, length // factor * factor)
    blocks = cast(Tensor, whole.unflatten(dim, (-1, factor)))  # (..., blocks, factor, ...): `dim` is now inside a block
    if length % factor:
        last = x.narrow(dim, length - factor, factor).unsqueeze(dim - 1)
        blocks = torch.cat([blocks, last], dim - 1)
    return blocks.mean(dim) if how == "mean" else blocks.select(dim, 0)


def upsample(x: Tensor, factor: int, size: Size) -> Tensor:
    """us: every coarse cell repeated factor x factor times and cut to `size`, (..., h, w) to (..., H, W).

    Where the factor divides `size` this is factor**2 times the transpose of `downsample(how="mean")`.
    """
    repeated = x.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
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


def at_own_noise_level(x: Tensor, sigma: float, factor: int, flow: bool) -> NoisyScale:
    """The mean-downsampled canvas together with the noise level it really has.

    The mean of factor x factor cells of x0 + sigma n is ds(x0) + (sigma / factor) n: it is less noisy than the model
    would be told. Flow models (x = (1 - sigma) x0 + sigma n) also need the coefficients to sum to one again, so the
    coarse canvas is rescaled; its denoised prediction is in the same space as the fine one's either way.
    """
    coarse = downsample(x, factor)
    if not flow:
        return NoisyScale(coarse, sigma / factor)
    rescale = 1 / (signal(sigma, flow) + sigma / factor)
    return NoisyScale(coarse * rescale, sigma / factor * rescale)

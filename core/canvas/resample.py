"""Downsampling and upsampling between the scales of a canvas, and the noise level after downsampling."""

from typing import cast

import torch
from torch import Tensor, nn

from ..step import signal
from .windows import NO_WRAP, Size, Wrap


def downsampled_size(size: Size, scale_factor: int) -> Size:
    """Size of a canvas after `downsample`: sides are divided by `scale_factor` and rounded up."""
    return Size(-(-size.height // scale_factor), -(-size.width // scale_factor))


def downsample(x: Tensor, scale_factor: int) -> Tensor:
    """The mean over blocks of factor x factor cells: (..., H, W) to (..., ceil(H / factor), ceil(W / factor)).

    For factor 2 this is bilinear interpolation, the example for ds in MSD's Eq. 8. If the factor does not divide a
    side, the last block overlaps the block before: every block has equally many cells, so the noise level is the same
    everywhere.

    Raises:
        ValueError: a side shorter than `scale_factor`.
    """
    if min(x.shape[-2:]) < scale_factor:
        raise ValueError(f"downsample: sides must be at least {scale_factor} cells, got {tuple(x.shape[-2:])}.")
    return _downsample_axis(_downsample_axis(x, -2, scale_factor), -1, scale_factor)


def _downsample_axis(x: Tensor, dim: int, scale_factor: int) -> Tensor:
    length = x.shape[dim]
    whole = x.narrow(dim, 0, length // scale_factor * scale_factor)
    # (..., blocks, scale_factor, ...): `dim` is now inside a block
    blocks = cast(Tensor, whole.unflatten(dim, (-1, scale_factor)))
    if length % scale_factor:
        last = x.narrow(dim, length - scale_factor, scale_factor).unsqueeze(dim - 1)
        blocks = torch.cat([blocks, last], dim - 1)
    return blocks.mean(dim)


def upsample(x: Tensor, scale_factor: int, size: Size) -> Tensor:
    """Repeat every cell factor x factor times and cut the result to `size`: (..., h, w) to (..., H, W)."""
    repeated = x.repeat_interleave(scale_factor, -2).repeat_interleave(scale_factor, -1)
    return repeated[..., : size.height, : size.width]


def upsample_bicubic(x: Tensor, size: Size, wrap: Wrap = NO_WRAP) -> Tensor:
    """Bicubic upsampling by 2, (B, C, ..., h, w) to (B, C, ..., H, W).

    Coarse cell i covers the fine cells 2 i and 2 i + 1. `size`, H and W, is at most twice h and w. If a side is odd,
    its last cell is cut off.
    """
    flat = x.flatten(1, -3)
    margin = 2  # cells that the bicubic kernel needs on either side
    for sides, wraps in (([margin, margin, 0, 0], wrap.x), ([0, 0, margin, margin], wrap.y)):
        flat = nn.functional.pad(flat, sides, mode="circular" if wraps else "replicate")
    large = nn.functional.interpolate(flat, scale_factor=2.0, mode="bicubic", align_corners=False)
    inside = large[..., 2 * margin : 2 * margin + size.height, 2 * margin : 2 * margin + size.width]
    return inside.reshape(*x.shape[:-2], *size)


def at_own_noise_level(x: Tensor, sigma: float, scale_factor: int, flow: bool) -> tuple[Tensor, float]:
    """The downsampled canvas x (B, ..., H, W), and the noise level that it has.

    The mean over factor x factor cells of x0 + sigma n is ds(x0) + (sigma / factor) n', n' again of unit variance. For
    flow models, x = (1 - sigma) x0 + sigma n, the coarse canvas is also scaled, so that its two factors have the sum 1
    again. The prediction for the coarse canvas has the scale of x0 in both cases.
    """
    coarse = downsample(x, scale_factor)
    if not flow:
        return coarse, sigma / scale_factor
    rescale = 1 / (signal(sigma, flow) + sigma / scale_factor)
    return coarse * rescale, sigma / scale_factor * rescale

"""Downsampling and upsampling between the scales of a canvas, and the noise level after downsampling."""

from math import ceil, gcd
from typing import cast

import torch
from torch import Tensor, nn

from ..step import signal
from .windows import NO_WRAP, Size, Wrap, canvas_size


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
    large = enlarge_bicubic(x.flatten(1, -3), canvas_size(x).scaled(2), wrap)
    return large[..., : size.height, : size.width].reshape(*x.shape[:-2], *size)


def enlarge_bicubic(x: Tensor, size: Size, wrap: Wrap = NO_WRAP) -> Tensor:
    """Bicubic enlargement to any size, (B, C, h, w) to (B, C, H, W); edges that are joined see one another."""
    margins = [_margin(*sides) if wraps else 0 for *sides, wraps in zip(canvas_size(x), size, wrap, strict=True)]
    padded = x
    for dim, margin, side in zip((-2, -1), margins, canvas_size(x), strict=True):
        if margin:  # not by `pad`, which goes around no more than once
            padded = padded.index_select(dim, torch.arange(-margin, side + margin, device=x.device) % side)
    top, left = (margin * to // of for margin, of, to in zip(margins, canvas_size(x), size, strict=True))
    whole = (size.height + 2 * top, size.width + 2 * left)
    large = nn.functional.interpolate(padded, whole, mode="bicubic", align_corners=False)
    return large[..., top : top + size.height, left : left + size.width]


def _margin(side: int, to: int) -> int:
    """Cells to add on either side, at least the two that the kernel sees, that become whole cells of the result."""
    whole = side // gcd(side, to)
    return whole * ceil(2 / whole)


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

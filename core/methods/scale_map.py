"""A linear map from the latent of a small picture to the downsampled latent of the large picture.

The mean over 2 x 2 latent cells is not the latent of the picture at half its size: cells hold texture, and the mean
removes it. If Multi-Scale Diffusion corrects a canvas towards the latents of a smaller picture without this map, the
decoder gets cells that it has never seen and prints a grid of latent cells. `python -m benchmarks.figures msd-map`, 6
panoramas of 2 x 4 windows: grid energy along x at 8 pixels 2.76 without the map, 1.65 with it, 1.76 for MultiDiffusion.

The map is the optimal transport between two Gaussians (Peyre and Cuturi, "Computational Optimal Transport", 2019,
Remark 2.31). It turns one mean and covariance into the other, with the least change of the cells. A regression would
predict each cell better, but it would reduce the variance, and pictures would get softer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..canvas.resample import downsample

Encoder = Callable[[Tensor], Tensor]
"""Pictures (B, 3, H, W) in [0, 1] to latents (B, C, ..., h, w)."""


@dataclass(frozen=True, eq=False)
class ScaleMap:
    """z -> matrix z + offset, for the channels of each cell."""

    matrix: Tensor  # (C, C)
    offset: Tensor  # (C,)

    def __call__(self, latent: Tensor) -> Tensor:
        """(B, C, ..., h, w) to the same shape."""
        shape = (-1, *[1] * (latent.ndim - 2))
        matrix, offset = self.matrix.to(latent), self.offset.to(latent)
        return torch.einsum("ij,bj...->bi...", matrix, latent) + offset.reshape(shape)


def fit_scale_map(pictures: Tensor, encode: Encoder, scale_factor: int = 2) -> ScaleMap:
    """Fit the map: from the latents of the downsampled pictures to the downsampled latents of the pictures.

    The pictures are (B, 3, H, W) in [0, 1]; `encode` must accept H x W and H / scale_factor x W / scale_factor.

    Raises:
        ValueError: not more cells than channels; a covariance needs more.
    """
    large = downsample(encode(pictures), scale_factor)
    small = encode(nn.functional.avg_pool2d(pictures, scale_factor))
    cells = [latent.movedim(1, -1).flatten(0, -2).double() for latent in (small, large)]
    count, channels = cells[0].shape
    if count <= channels:
        raise ValueError(
            f"pictures: a map between {channels} channels needs more cells than that, got {count}; use more or larger "
            "pictures."
        )
    mean_small, mean_large = (latents.mean(dim=0) for latents in cells)
    covariances = [torch.cov(latents.T).reshape(channels, channels) for latents in cells]
    # A constant channel has no inverse variance. With the same small variance at both sizes it is not changed.
    little = 1e-6 * max(float(covariance.trace()) for covariance in covariances) * torch.eye(channels).to(cells[0])
    covariance_small, covariance_large = (covariance + little for covariance in covariances)
    root = _root(covariance_small)
    inverse = torch.inverse(root)
    matrix = inverse @ _root(root @ covariance_large @ root) @ inverse
    return ScaleMap(matrix.to(large), (mean_large - matrix @ mean_small).to(large))


def _root(covariance: Tensor) -> Tensor:
    """The matrix square root."""
    eigh = cast(Callable[[Tensor], tuple[Tensor, Tensor]], torch.linalg.eigh)  # pyright: ignore[reportUnknownMemberType]
    values, vectors = eigh(covariance)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

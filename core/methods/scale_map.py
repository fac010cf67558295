"""From the latent of a small picture to the mean of the latent of the large one.

The mean of 2 x 2 latent cells is not the latent of the picture made half as large: an autoencoder puts texture into
its cells, which the mean takes away. A canvas that is corrected towards the latents of a smaller picture as they are
ends up with cells that the decoder has never seen, and it prints their grid. A linear map, fitted once from pictures
encoded at both sizes, takes most of the difference away.

The map is that of optimal transport between Gaussians (Peyre and Cuturi, "Computational Optimal Transport", 2019,
Remark 2.31): it turns one mean and covariance into the other and moves the cells as little as that allows. A
regression would predict each cell better and shrink their spread: pictures get softer.
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
    """z -> matrix z + offset, for each cell by itself.

    Attributes:
        matrix: (C, C).
        offset: (C,).
    """

    matrix: Tensor
    offset: Tensor

    def __call__(self, latent: Tensor) -> Tensor:
        """(B, C, ..., h, w) to the same shape."""
        shape = (-1, *[1] * (latent.ndim - 2))
        matrix, offset = self.matrix.to(latent), self.offset.to(latent)
        return torch.einsum("ij,bj...->bi...", matrix, latent) + offset.reshape(shape)


def fit_scale_map(pictures: Tensor, encode: Encoder, scale_factor: int = 2) -> ScaleMap:
    """The map that gives the latents of pictures made smaller the spread of the mean of the latents of the pictures.

    Args:
        pictures: (B, 3, H, W) in [0, 1]; sides that `encode` takes whole and made smaller.
        encode: the encoder.
        scale_factor: between the sizes.

    Raises:
        ValueError: fewer cells than a covariance of this many channels needs.
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
    spreads = [torch.cov(latents.T) for latents in cells]
    # A channel that is the same everywhere has no spread to divide by: with the same little of it at both sizes it is
    # left as it is.
    little = 1e-6 * max(float(spread.trace()) for spread in spreads) * torch.eye(channels).to(spreads[0])
    spread_small, spread_large = (spread + little for spread in spreads)
    half = _root(spread_small)
    inverse = torch.inverse(half)
    matrix = inverse @ _root(half @ spread_large @ half) @ inverse
    return ScaleMap(matrix.to(large), (mean_large - matrix @ mean_small).to(large))


def _root(spread: Tensor) -> Tensor:
    """The square root of a covariance."""
    values, vectors = cast(tuple[Tensor, Tensor], torch.linalg.eigh(spread))  # pyright: ignore[reportUnknownMemberType]
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

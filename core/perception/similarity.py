"""How unlike two views are: what SyncDiffusion descends, so that windows far apart come to look alike."""

from typing import Protocol

import torch
from torch import Tensor

from ..canvas.decode import Decoder
from .per_view import distances

Features = tuple[Tensor, ...]


class Similarity(Protocol):
    """A distance between denoised views."""

    def features(self, denoised: Tensor) -> Features:
        """What the others are compared with, of the anchor (1, C, ..., h, w): tensors of one row each."""
        ...

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,), at least 0: how unlike its anchor each view (M, C, ..., h, w) is; differentiable in `denoised`."""
        ...


class LatentSimilarity:
    """Palette and texture as the latent has them: the mean of its channels and their covariance.

    No extra weights, no decoder, any model. It is a style loss (Gatys et al. 2016: Gram matrices) on the latent itself:
    the mean over the window is its palette, the covariance of the channels its contrast and texture. Both forget
    *where* in the window something is, so that windows are asked to look alike and not to show the same thing twice.

        distance = n / FULL_WEIGHT * (|mean - mean_a|^2 / 2 + |cov - cov_a|^2 / (4 |cov| + 4 |cov_a|))

    over the n cells of a window, |cov| the Frobenius norm. The factor n makes it a sum like the loss of MSD, so that it
    does not depend on the size of the window: at FULL_WEIGHT every cell moves by the whole difference of the means, and
    at the paper's weight of 20 by half of it. The norms do the same for the contrast. A plain square of the difference
    asks a cell to move in proportion to the variance: channels of a latent vary together, in one direction four times
    as much as one does, and there it overshoots step after step, until highlights burn and cells show as a grid.
    """

    FULL_WEIGHT = 40.0

    def features(self, denoised: Tensor) -> Features:
        """(M, C) means and (M, C, C) covariances; `denoised` is (M, C, ..., h, w)."""
        cells = denoised.flatten(2).to(torch.promote_types(denoised.dtype, torch.float32))
        mean = cells.mean(2)
        centred = cells - mean[:, :, None]
        return mean, centred @ centred.transpose(1, 2) / cells.shape[2]

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,)."""
        mean, covariance = self.features(denoised)
        anchor_mean, anchor_covariance = anchor
        count = denoised[0, 0].numel()
        palette = (mean - anchor_mean).square().sum(1) / 2
        norms = _norm(covariance) + _norm(anchor_covariance)
        texture = (covariance - anchor_covariance).square().sum((1, 2)) / (4 * norms.clamp(min=1e-12))  # both flat: 0
        return count * (palette + texture) / self.FULL_WEIGHT


def _norm(matrices: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrices)  # type: ignore[no-any-return]  # its gradient at 0 is 0


class Perception(Protocol):
    """A distance between pictures (M, 3, H, W) in [0, 1]: `Lpips` and `Style`."""

    def features(self, images: Tensor) -> Features:
        """All that `distance` must know of the pictures, tensors of M rows each."""
        ...

    def distance(self, features: Features, anchor: Features) -> Tensor:
        """(M,): how unlike one anchor, or as many anchors, the pictures are."""
        ...


class PictureSimilarity:
    """A perceptual distance between decoded views."""

    def __init__(self, perception: Perception, decode: Decoder, at_once: int):
        """`decode` must be differentiable; memory holds the graphs of `at_once` views, at least 1."""
        self._perception, self._decode, self._at_once = perception, decode, at_once

    def features(self, denoised: Tensor) -> Features:
        """Those of the decoded views."""
        return self._perception.features(self._decode(denoised))

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,)."""
        return distances(lambda part: self._perception.distance(self.features(part), anchor), denoised, self._at_once)

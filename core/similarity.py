"""How unlike two views are: what SyncDiffusion descends, so that windows far apart come to look alike."""

from typing import Protocol

import torch
from torch import Tensor

from .decode import Decoder

Features = tuple[Tensor, ...]


class Similarity(Protocol):
    """A distance between views, in two parts, so that the anchor's features are computed once."""

    def features(self, denoised: Tensor) -> Features:
        """What is compared of M views: tensors of M rows each."""
        ...

    def distance(self, features: Features, anchor: Features) -> Tensor:
        """(M,), at least 0, differentiable with respect to `features`; row i is compared with row i of `anchor`."""
        ...


class LatentSimilarity:
    """Palette and texture as the latent has them: the mean of its channels and their covariance.

    No extra weights, no decoder, any model. It is a style loss (Gatys et al. 2016: Gram matrices) on the latent itself:
    the mean over the window is its palette, the covariance of the channels its contrast and texture. Both forget
    *where* in the window something is, so that windows are asked to look alike and not to show the same thing twice.

        distance = (n / 2 |mean - mean_a|^2 + n / 4 |cov - cov_a|^2) / FULL_WEIGHT     over the n cells of a window

    The factor n makes it a sum like the loss of MSD, so that it does not depend on the size of the window: at
    FULL_WEIGHT every cell moves by the whole difference of the means, and at the paper's weight of 20 by half of it.
    """

    FULL_WEIGHT = 40.0

    def features(self, denoised: Tensor) -> Features:
        """(M, C) means, (M, C, C) covariances and the number of cells; `denoised` is (M, C, ..., h, w)."""
        cells = denoised.flatten(2).to(torch.promote_types(denoised.dtype, torch.float32))
        mean = cells.mean(2)
        centred = cells - mean[:, :, None]
        count = cells.shape[2]
        return mean, centred @ centred.transpose(1, 2) / count, mean.new_full((len(mean),), count)

    def distance(self, features: Features, anchor: Features) -> Tensor:
        """(M,)."""
        mean, covariance, count = features
        anchor_mean, anchor_covariance, _ = anchor
        palette = (mean - anchor_mean).square().sum(1) / 2
        texture = (covariance - anchor_covariance).square().sum((1, 2)) / 4
        return count * (palette + texture) / self.FULL_WEIGHT


class PictureSimilarity:
    """A perceptual distance (`lpips`, `style`) between decoded views."""

    def __init__(self, decode: Decoder, perception: Similarity):
        """`decode` is differentiable; `perception` compares pictures (M, 3, H, W) in [0, 1]."""
        self._decode, self._perception = decode, perception

    def features(self, denoised: Tensor) -> Features:
        """The perception's features of the decoded views."""
        return self._perception.features(self._decode(denoised))

    def distance(self, features: Features, anchor: Features) -> Tensor:
        """(M,)."""
        return self._perception.distance(features, anchor)

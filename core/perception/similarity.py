"""Distances between views. SyncDiffusion reduces them, so that all windows get one appearance."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from ..canvas.decode import Decoder
from .vgg import Perception

Features = tuple[Tensor, ...]


class Similarity(Protocol):
    """A distance between denoised views."""

    def features(self, denoised: Tensor) -> Features:
        """What `distance` needs of an anchor (1, C, ..., h, w): tensors of one row each."""
        ...

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,), at least 0: the distance of each view (M, C, ..., h, w) from the anchor; differentiable."""
        ...


class LatentSimilarity:
    """The distance between the channel statistics of two latents. It needs no decoder and no network.

    It is a style loss (Gatys et al. 2016: Gram matrices) on the latent. The mean of the channels over the window stands
    for its palette, their covariance for contrast and texture. Neither knows *where* in the window something is. So
    windows get one appearance, but need not show the same things.

        distance = n / FULL_WEIGHT * (|mean - mean_a|^2 / 2 + |cov - cov_a|^2 / (4 |cov| + 4 |cov_a|))

    n is the number of cells of a window and |cov| the Frobenius norm. Because of n, the effect does not depend on the
    size of the window: in one step of `gradient`, every cell moves by the whole difference of the means at the weight
    FULL_WEIGHT, and by half of it at the paper's weight 20. The division by the norms does the same for the contrast.
    Without it the gradient grows with the variance; along directions in which channels vary together it overshoots at
    every step, and highlights burn out.
    """

    FULL_WEIGHT = 40.0

    def features(self, denoised: Tensor) -> Features:
        """(M, C) means and (M, C, C) covariances of views (M, C, ..., h, w)."""
        cells = denoised.flatten(2).to(torch.promote_types(denoised.dtype, torch.float32))
        mean = cells.mean(2)
        centred = cells - mean[:, :, None]
        return mean, centred @ centred.transpose(1, 2) / cells.shape[2]

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,) distances of views (M, C, ..., h, w) from the anchor."""
        mean, covariance = self.features(denoised)
        anchor_mean, anchor_covariance = anchor
        count = denoised[0, 0].numel()
        palette = (mean - anchor_mean).square().sum(1) / 2
        norms = _norm(covariance) + _norm(anchor_covariance)
        texture = (covariance - anchor_covariance).square().sum((1, 2)) / (4 * norms.clamp(min=1e-12))  # both flat: 0
        return count * (palette + texture) / self.FULL_WEIGHT


def _norm(matrices: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrices)  # type: ignore[no-any-return]  # its gradient at 0 is 0


class PictureSimilarity:
    """A perceptual distance between decoded views.

    Args:
        perception: the distance between pictures.
        decode: a differentiable decoder.
        at_once: views for which autograd may keep its graph at the same time, at least 1.
    """

    def __init__(self, perception: Perception, decode: Decoder, at_once: int):
        self._perception, self._decode, self._at_once = perception, decode, at_once

    def features(self, denoised: Tensor) -> Features:
        """The features of the decoded views."""
        return self._perception.features(self._decode(denoised))

    def distance(self, denoised: Tensor, anchor: Features) -> Tensor:
        """(M,) distances of views (M, C, ..., h, w) from the anchor."""
        return distances(lambda part: self._perception.distance(self.features(part), anchor), denoised, self._at_once)


def distances(distance: Callable[[Tensor], Tensor], views: Tensor, at_once: int) -> Tensor:
    """(M,): `distance` of every view, differentiable in `views`, computed for `at_once` views at a time.

    A decoder and a perceptual network keep gigabytes for the backward pass of a window of 512 pixels. But the distance
    of a view depends on no other view. So its gradient is computed immediately, and only the gradient is kept.
    `distance` takes views (m, ...) to (m,).
    """
    return _Distances.apply(views, distance, at_once)  # type: ignore[no-any-return]


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, views: Tensor, distance: Callable[[Tensor], Tensor], at_once: int) -> Tensor:
        results: list[Tensor] = []
        gradients: list[Tensor] = []
        for start in range(0, len(views), at_once):
            part = views[start : start + at_once].detach()
            if ctx.needs_input_grad[0]:
                with torch.enable_grad():
                    part = part.requires_grad_()
                    result = distance(part)
                    gradients += torch.autograd.grad(result.sum(), part)
            else:
                result = distance(part)
            results.append(result.detach())
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *weights: Tensor
    ) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return weights[0].reshape(-1, *[1] * (gradients.ndim - 1)).to(gradients) * gradients, None, None

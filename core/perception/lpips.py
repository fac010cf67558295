"""LPIPS, a distance between pictures as people see it (Zhang et al. 2018, "The Unreasonable Effectiveness ...")."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .vgg import CHANNELS, Perception

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
EPS = 1e-10  # of the authors' code


def lpips_shapes() -> dict[str, tuple[int, ...]]:
    """Names, as in the authors' files, and shapes of the weights that `Lpips` needs besides VGG-16's."""
    return {f"lin{block}.model.1.weight": (1, channels, 1, 1) for block, channels in enumerate(CHANNELS)}


class Lpips(Perception):
    """d(x, y) = sum_l mean_hw sum_c w_lc (x^_l - y^_l)^2, x^_l the activations of VGG-16 of unit length (their Eq. 1).

    About 0 to 1. Version 0.1 of the authors' weights: w is not negative, and the input is scaled.

    Args:
        weights: a state dict with `vgg.vgg_shapes` and `lpips_shapes`, among others.

    Raises:
        ValueError: weights are missing or have another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__(weights, lpips_shapes(), "LPIPS")

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """What `distance` needs of `images` (M, 3, h, w): for each layer (M, channels, h', w')."""
        return tuple(functional.normalize(x, dim=1, eps=EPS) for x in self.activations(images, LAYERS))

    def distance(self, features: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
        """(M,): the distances of M pictures from one anchor, or from one anchor each, of the same size."""
        linear = (self._weights[name] for name in lpips_shapes())
        layers = zip(features, anchor, linear, strict=True)
        return torch.stack([((x - y).square() * w).sum(1).mean((1, 2)) for x, y, w in layers]).sum(0)

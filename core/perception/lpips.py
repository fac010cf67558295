"""LPIPS, how different two pictures look to people (Zhang et al. 2018, "The Unreasonable Effectiveness ...")."""

from collections.abc import Mapping, Sequence
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional

from .vgg import CHANNELS, Vgg16, chosen_weights, moved

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
EPS = 1e-10  # of the authors' code


def lpips_shapes() -> dict[str, tuple[int, ...]]:
    """Names, as the authors' files give them, and shapes of the weights that `Lpips` needs besides VGG-16's."""
    return {f"lin{block}.model.1.weight": (1, channels, 1, 1) for block, channels in enumerate(CHANNELS)}


class Lpips:
    """d(x, y) = sum_l mean_hw sum_c w_lc (x^_l - y^_l)^2, x^_l the activations of VGG-16 of unit length (their Eq. 1).

    About 0 to 1. Version 0.1 of the authors' weights: w is not negative, and the input is scaled.

    Args:
        weights: a state dict with `vgg.vgg_shapes` and `lpips_shapes`, among others.

    Raises:
        ValueError: weights are missing or of another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._vgg = Vgg16(weights)
        self._linear = chosen_weights(weights, lpips_shapes(), "LPIPS")

    def to(self, device: torch.device | str) -> "Lpips":
        """The same with its weights there; this one stays where it is."""
        there = copy(self)
        there._vgg = self._vgg.to(device)
        there._linear = moved(self._linear, device)
        return there

    def __call__(self, views: Tensor, anchors: Tensor) -> Tensor:
        """(M,): how far each of `views` (M, 3, h, w) is from its anchor, (M, 3, h, w) or (1, 3, h, w); all in [0, 1].

        Raises:
            ValueError: pictures below 32 x 32 pixels.
        """
        return self.distance(self.features(views), self.features(anchors))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """All that is to be known of `images` (M, 3, h, w) for `distance`: for each layer (M, channels, h', w')."""
        return tuple(functional.normalize(x, dim=1, eps=EPS) for x in self._vgg.activations(images, LAYERS))

    def distance(self, features: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
        """(M,): the distance of pictures known by their `features` from an anchor, or as many anchors."""
        layers = zip(features, anchor, self._linear.values(), strict=True)
        return torch.stack([((x - y).square() * w).sum(1).mean((1, 2)) for x, y, w in layers]).sum(0)

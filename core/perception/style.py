"""The style of pictures (Gatys, Ecker and Bethge 2016): which features go together, not where they are."""

from collections.abc import Mapping, Sequence
from copy import copy

import torch
from torch import Tensor

from .vgg import Vgg16

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class Style:
    """sum_l w_l / (4 N_l^2) sum_ij (G_ij - A_ij)^2, w_l = 1/5, G_ij the mean over space of F_i F_j (their Eq. 3-5).

    F are the N_l activations of layer l of VGG-16 (theirs is VGG-19), G and A those of the picture and of its anchor.
    Gatys et al. sum over space and divide by M_l^2, the squared number of places, at the end; the mean is the same for
    pictures of one size, and also compares pictures of different sizes.

    Args:
        weights: a state dict with `vgg.vgg_shapes`, among others.

    Raises:
        ValueError: weights are missing or of another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._vgg = Vgg16(weights)

    def to(self, device: torch.device | str) -> "Style":
        """The same with its weights there; this one stays where it is."""
        there = copy(self)
        there._vgg = self._vgg.to(device)
        return there

    def __call__(self, views: Tensor, anchors: Tensor) -> Tensor:
        """(M,): how far each of `views` (M, 3, h, w) is from its anchor, (M or 1, 3, any h, any w); all in [0, 1].

        Raises:
            ValueError: pictures below 32 x 32 pixels.
        """
        return self.distance(self.features(views), self.features(anchors))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """All that is to be known of `images` (M, 3, h, w) for `distance`: for each layer (M, N_l, N_l)."""
        return tuple(_gram(activation) for activation in self._vgg.activations(images, LAYERS))

    def distance(self, features: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
        """(M,): the distance of pictures known by their `features` from an anchor, or as many anchors."""
        layers = zip(features, anchor, strict=True)
        # The mean over ij is the sum divided by N_l^2.
        return torch.stack([(x - y).square().mean((1, 2)) for x, y in layers]).sum(0) / (4 * len(LAYERS))


def _gram(activation: Tensor) -> Tensor:
    places = activation.flatten(2)
    return places @ places.mT / places.shape[-1]

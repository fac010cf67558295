"""The style of pictures (Gatys, Ecker and Bethge 2016): which features occur together, but not where."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .vgg import Perception

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class Style(Perception):
    """sum_l w_l / (4 N_l^2) sum_ij (G_ij - A_ij)^2, w_l = 1/5, G_ij the mean over space of F_i F_j (their Eq. 3-5).

    F are the N_l activations of layer l of VGG-16 (theirs is VGG-19), G and A are those of the picture and its anchor.
    Gatys et al. sum over space and divide by M_l^2, the squared number of places. The mean is the same for pictures of
    one size, and it can compare pictures of different sizes.

    Args:
        weights: a state dict with `vgg.vgg_shapes`, among others.

    Raises:
        ValueError: weights are missing or have another shape.
    """

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """What `distance` needs of `images` (M, 3, h, w): for each layer (M, N_l, N_l)."""
        return tuple(_gram(activation) for activation in self.activations(images, LAYERS))

    def distance(self, features: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
        """(M,): the distances of M pictures from one anchor, or from one anchor each, of any size."""
        layers = zip(features, anchor, strict=True)
        # The mean over ij is the sum divided by N_l^2.
        return torch.stack([(x - y).square().mean((1, 2)) for x, y in layers]).sum(0) / (4 * len(LAYERS))


def _gram(activation: Tensor) -> Tensor:
    places = activation.flatten(2)
    return places @ places.mT / places.shape[-1]

"""VGG-16 (Simonyan and Zisserman 2015) without its classifier. Its activations tell how alike two pictures look."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = (2, 2, 3, 3, 3)  # convolutions before each of the five poolings
CHANNELS = (64, 128, 256, 512, 512)  # of each block's activations
LEAST = 32  # pixels: the last block then has 2 x 2 cells

# Of the photographs in its training set, for values in [0, 1]. Zhang et al. scale the input of LPIPS by them, too.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

LAYERS = {
    f"relu{block}_{number}": f"features.{sum(2 * n + 1 for n in BLOCKS[: block - 1]) + 2 * (number - 1)}"
    for block, convolutions in enumerate(BLOCKS, start=1)
    for number in range(1, convolutions + 1)
}
"""The name of each activation, in order, and torchvision's name of the convolution before it.

torchvision counts all modules: a convolution and its ReLU are two, a pooling is one.
"""
Shapes = Mapping[str, tuple[int, ...]]
Same = TypeVar("Same", bound="Perception")


def vgg_shapes() -> dict[str, tuple[int, ...]]:
    """Names, as in torchvision, and shapes of the weights of VGG-16."""
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    for layer, convolution in LAYERS.items():
        channels = CHANNELS[int(layer[4]) - 1]
        shapes[f"{convolution}.weight"] = (channels, before, 3, 3)
        shapes[f"{convolution}.bias"] = (channels,)
        before = channels
    return shapes


class Perception(ABC):
    """A distance between pictures in [0, 1] that is computed from activations of VGG-16.

    Args:
        weights: a state dict that holds `vgg_shapes` and `further`, among others.
        further: shapes of the other weights that the distance needs.
        network: whose weights these are, for messages.

    Raises:
        ValueError: weights are missing or have another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor], further: Shapes | None = None, network: str = "") -> None:
        self._weights = chosen_weights(weights, vgg_shapes(), "VGG-16")
        self._weights |= chosen_weights(weights, further or {}, network)
        first = next(iter(self._weights.values()))
        with torch.inference_mode(False):
            # Stored with the weights: a copy to the GPU for every picture would wait for it.
            self._scale = {name: first.new_tensor(c).reshape(3, 1, 1) for name, c in (("mean", MEAN), ("std", STD))}

    def to(self: Same, device: torch.device | str) -> Same:
        """A copy with its weights on `device`."""
        copied = copy(self)
        copied._weights, copied._scale = on_device(self._weights, device), on_device(self._scale, device)
        return copied

    def __call__(self, views: Tensor, anchors: Tensor) -> Tensor:
        """(M,): the distances of `views` (M, 3, h, w) from `anchors`, one for all or one for each.

        Raises:
            ValueError: pictures below 32 x 32 pixels.
        """
        return self.distance(self.features(views), self.features(anchors))

    @abstractmethod
    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """What `distance` needs of `images` (M, 3, h, w): one tensor for each layer."""

    @abstractmethod
    def distance(self, features: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
        """(M,): the distances of M pictures from one anchor, or from one anchor each; of their `features`."""

    def activations(self, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """The activations of VGG-16, differentiable in `images` only.

        Args:
            images: (M, 3, h, w) in [0, 1], at least 32 pixels high and wide.
            layers: names in `LAYERS`, such as "relu1_2" (block 1, after its second convolution), in their order.

        Returns:
            (M, CHANNELS[block - 1], h >> block - 1, w >> block - 1) for each layer, in float32 at least.

        Raises:
            ValueError: pictures below 32 x 32 pixels.
        """
        height, width = images.shape[-2:]
        if min(height, width) < LEAST:
            raise ValueError(
                f"window: LPIPS and style compare pictures of at least {LEAST} x {LEAST} pixels, got {height} x "
                f'{width}; use larger windows, or the loss "latent".'
            )
        mean, std = self._scale.values()
        x = (images.to(mean) - mean) / std
        activations: list[Tensor] = []
        for layer, convolution in LAYERS.items():
            if layer.endswith("_1") and layer != "relu1_1":
                x = functional.max_pool2d(x, 2)
            weight, bias = self._weights[f"{convolution}.weight"], self._weights[f"{convolution}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1).relu()
            if layer in layers:
                activations.append(x)
            if layer == layers[-1]:
                break
        return activations


def chosen_weights(weights: Mapping[str, Tensor], shapes: Shapes, network: str) -> dict[str, Tensor]:
    """The weights named in `shapes`, in float32 at least; autograd may save them and wants no gradient for them.

    Raises:
        ValueError: weights are missing or have another shape.
    """
    missing = [name for name in shapes if name not in weights]
    if missing:
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ValueError(f"{network}: of {len(shapes)} weights {len(missing)} are missing: {listed}.")
    other = [name for name, shape in shapes.items() if tuple(weights[name].shape) != shape]
    if other:
        name = other[0]
        raise ValueError(
            f"{network}: {name} must have the shape {shapes[name]}, got {tuple(weights[name].shape)}: "
            "these are the weights of another network."
        )
    precision = {name: torch.promote_types(weights[name].dtype, torch.float32) for name in shapes}
    with torch.inference_mode(False):  # autograd cannot save tensors made in inference mode
        return {name: weights[name].detach().to(precision[name]).clone() for name in shapes}


def on_device(weights: Mapping[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """`weights` on `device`; autograd may still save them."""
    with torch.inference_mode(False):
        return {name: weight.to(device) for name, weight in weights.items()}

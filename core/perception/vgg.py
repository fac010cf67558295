"""VGG-16 (Simonyan and Zisserman 2015) without its classifier: what it sees in pictures says how alike they look."""

from collections.abc import Mapping, Sequence
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = (2, 2, 3, 3, 3)  # convolutions before each of the five poolings
CHANNELS = (64, 128, 256, 512, 512)  # of each block's activations
LEAST = 32  # pixels: the last block sees 2 x 2 of its cells

# Of the photographs it was trained on, for values in [0, 1]; Zhang et al. scale the input of LPIPS alike.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def _layers() -> dict[str, str]:
    """The name of each activation, in order, and torchvision's name of the convolution before it."""
    layers: dict[str, str] = {}
    place = 0
    for block, convolutions in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            layers[f"relu{block}_{number}"] = f"features.{place}"
            place += 2  # a convolution and its ReLU
        place += 1  # the pooling
    return layers


LAYERS = _layers()


def vgg_shapes() -> dict[str, tuple[int, ...]]:
    """Names, as torchvision gives them, and shapes of the weights that `Vgg16` needs."""
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    for layer, convolution in LAYERS.items():
        channels = CHANNELS[int(layer[4]) - 1]
        shapes[f"{convolution}.weight"] = (channels, before, 3, 3)
        shapes[f"{convolution}.bias"] = (channels,)
        before = channels
    return shapes


class Vgg16:
    """The activations of VGG-16, differentiable in the pictures and in nothing else.

    Args:
        weights: a state dict that holds `vgg_shapes`, among others.

    Raises:
        ValueError: weights are missing or of another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = chosen_weights(weights, vgg_shapes(), "VGG-16")
        first = next(iter(self._weights.values()))
        with torch.inference_mode(False):
            # Beside the weights: made anew for every picture, they would make it wait for the GPU.
            self._scale = {name: first.new_tensor(c).reshape(3, 1, 1) for name, c in (("mean", MEAN), ("std", STD))}

    def to(self, device: torch.device | str) -> "Vgg16":
        """The same with its weights there; this one stays where it is."""
        there = copy(self)
        there._weights, there._scale = moved(self._weights, device), moved(self._scale, device)
        return there

    def activations(self, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """What `layers`, such as "relu1_2" (block 1, after its second convolution), make of `images`, in their order.

        Args:
            images: (M, 3, h, w) in [0, 1], at least 32 pixels high and wide.
            layers: names in `LAYERS`, the first ones first; nothing is computed beyond the last.

        Returns:
            (M, CHANNELS[block - 1], h >> block - 1, w >> block - 1) for each layer, in float32 at least.
        """
        height, width = images.shape[-2:]
        if min(height, width) < LEAST:
            raise ValueError(
                f"window: LPIPS and style compare pictures of at least {LEAST} x {LEAST} pixels, got {height} x "
                f'{width}; use larger windows, or the loss "latent".'
            )
        mean, std = self._scale.values()
        x = (images.to(mean) - mean) / std
        found: list[Tensor] = []
        for layer, convolution in LAYERS.items():
            if layer.endswith("_1") and layer != "relu1_1":
                x = functional.max_pool2d(x, 2)
            weight, bias = self._weights[f"{convolution}.weight"], self._weights[f"{convolution}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1).relu()
            if layer in layers:
                found.append(x)
            if layer == layers[-1]:
                break
        return found


def chosen_weights(
    weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], network: str
) -> dict[str, Tensor]:
    """Those named in `shapes`, in float32 at least, fit to be saved by autograd and with no gradient of their own.

    Raises:
        ValueError: names that are missing, or shapes of another network.
    """
    missing = [name for name in shapes if name not in weights]
    if missing:
        raise ValueError(f"{network}: of {len(shapes)} weights {len(missing)} are missing: {_listed(missing)}.")
    other = [name for name, shape in shapes.items() if tuple(weights[name].shape) != shape]
    if other:
        name = other[0]
        raise ValueError(
            f"{network}: {name} must have the shape {shapes[name]}, got {tuple(weights[name].shape)}: "
            "these are the weights of another network."
        )
    with torch.inference_mode(False):  # a tensor made there could not be saved for a backward pass
        return {name: weights[name].detach().to(_precision(weights[name])).clone() for name in shapes}


def moved(weights: Mapping[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """`weights` on `device`, still fit to be saved by autograd."""
    with torch.inference_mode(False):
        return {name: weight.to(device) for name, weight in weights.items()}


def _precision(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""The style loss against Gatys et al.'s equations as loops."""

from functools import cache

import pytest
import torch
from joint_diffusion.core.perception.style import LAYERS, Style
from joint_diffusion.core.perception.vgg import MEAN, STD, vgg_shapes
from oracles import style_loss
from torch import nn


@cache
def random_weights(dtype=torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        * ((2 / (9 * shape[1])) ** 0.5 if shape[1:] else 0.1)
        for name, shape in vgg_shapes().items()
    }


def pictures(count: int, height: int = 32, width: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vgg_by_hand(weights: dict[str, torch.Tensor]) -> nn.Sequential:
    """Configuration D of Simonyan and Zisserman, as in their table; torchvision numbers the layers of its like."""
    layers, before = [], 3
    for width in [64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512]:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    network = nn.Sequential(*layers).double()
    network.load_state_dict({name.removeprefix("features."): value for name, value in weights.items()})
    return network.requires_grad_(False)


def activations_by_hand(network: nn.Sequential, picture: torch.Tensor) -> list[torch.Tensor]:
    """Of the first convolution in each block."""
    x = torch.stack([(picture[c] - MEAN[c]) / STD[c] for c in range(3)])[None]
    found = []
    for place, layer in enumerate(network):
        x = layer(x)
        if place in (1, 6, 11, 18, 25):
            found.append(x[0])
    return found


def test_distance_and_gradient_are_those_of_the_loops():
    weights = random_weights()
    views, anchors = pictures(2).requires_grad_(), pictures(2, seed=1)
    network = vgg_by_hand(weights)
    expected = torch.stack(
        [
            style_loss(activations_by_hand(network, view), activations_by_hand(network, anchor))
            for view, anchor in zip(views, anchors, strict=True)
        ]
    )
    found = Style(weights)(views, anchors)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    gradient, expected_gradient = (torch.autograd.grad(x.sum(), views)[0] for x in (found, expected))
    assert (gradient - expected_gradient).norm() < 1e-10 * expected_gradient.norm()


def test_it_does_not_matter_where_things_are():
    """Exactly only far from edges; a picture that is rolled by the stride of the network comes close."""
    style, view = Style(random_weights(torch.float32)), pictures(1, 96, 96)
    moved, other = view.roll((32, 16), (-2, -1)), pictures(1, 96, 96, seed=1) ** 2
    assert style(moved, view) < 0.01 * style(other, view)


def test_it_does_not_depend_on_the_size_of_the_picture():
    """But for the edges; sums over space would differ by factors of 6 and 36."""
    style, patch = Style(random_weights(torch.float32)), pictures(1, 32, 32)
    small, large = patch.repeat(1, 1, 2, 2), patch.repeat(1, 1, 4, 6)
    other = pictures(1, 64, 64, seed=1) ** 3
    assert style(large, small) < 0.3 * style(other, small)
    assert style(large, other).item() == pytest.approx(style(small, other).item(), rel=0.3)


def test_one_anchor_for_all():
    views, anchor, style = pictures(3), pictures(1, seed=1), Style(random_weights())
    one_by_one = torch.cat([style(view[None], anchor) for view in views])
    torch.testing.assert_close(style(views, anchor), one_by_one)
    assert style(anchor, anchor).tolist() == [0.0]


def test_needs_no_layer_beyond_the_last():
    layers = random_weights()
    assert len(Style(layers).features(pictures(1))) == len(LAYERS)
    with pytest.raises(ValueError, match=r'at least 32 x 32 pixels, got 32 x 24; use larger windows, or the loss "lat'):
        Style(layers).features(pictures(1, 32, 24))

"""The layer of the world that a colour belongs to.

For each palette, the colours of each layer in a few renders are described by a Gaussian. Means over 4 x 4 pixels are
classified, not single pixels, because texture is not layout.
"""

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .world import WINDOW
from .worlds import LANDSCAPES, World

BLOCK = 4  # pixels per side of a classified cell
_SPREAD = 0.012  # standard deviation added to every colour, for the error of a decoder


class ColourModel(NamedTuple):
    """Gaussians of the layers of some palettes; P palettes, L layers."""

    mean: Tensor  # (P, L, 3)
    inverse: Tensor  # (P, L, 3, 3) inverse covariance
    log_det: Tensor  # (P, L) log determinant of the covariance


Palettes = tuple[tuple[str, ...], ...]


def cells(image: Tensor) -> Tensor:
    """(B, 3, H, W) to mean colours (B, 3, H // 4, W // 4)."""
    return nn.functional.avg_pool2d(image, BLOCK)


@cache
def _layer_statistics(world: World, palette: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    colours: list[list[np.ndarray]] = [[] for _ in world.layers]
    for seed, (fields, zoom, y) in enumerate(world.examples):
        scene = world.scene(seed=7000 + seed, **dict(zip(world.palette, palette, strict=True)), **fields)
        image, layers, _ = world.render(scene, 128, 192, zoom=zoom, centre=(3.0 + seed, y))
        mean = cells(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        block = layers.reshape(128 // BLOCK, BLOCK, 192 // BLOCK, BLOCK).swapaxes(1, 2).reshape(*mean.shape[:2], -1)
        pure = (block == block[..., :1]).all(-1)
        for i in range(len(world.layers)):
            colours[i].append(mean[pure & (block[..., 0] == i)])
    stacked = [torch.from_numpy(np.concatenate(c)).double() for c in colours]
    means = torch.stack([c.mean(0) for c in stacked])
    return means, torch.stack([c.T.cov() + _SPREAD**2 * torch.eye(3).double() for c in stacked])


@lru_cache(maxsize=32)
def colour_model(palettes: Palettes, world: World = LANDSCAPES) -> ColourModel:
    """The Gaussians of these palettes."""
    mean, covariance = (
        torch.stack(part) for part in zip(*(_layer_statistics(world, p) for p in palettes), strict=True)
    )
    return ColourModel(mean.float(), covariance.inverse().float(), covariance.logdet().float())


def squared_distance(colours: Tensor, model: ColourModel) -> Tensor:
    """Squared Mahalanobis distances (B, P, L, h, w) of colours (B, 3, h, w) from the Gaussians."""
    off = colours[:, None, None] - model.mean[None, :, :, :, None, None]
    return torch.einsum("bplchw,plcd,bpldhw->bplhw", off, model.inverse, off)


def classify(image: Tensor, prompt: str = "", world: World = LANDSCAPES) -> Tensor:
    """(B, 3, H, W) in [0, 1] to the layer of every 4 x 4 cell, (B, H // 4, W // 4).

    Every region of 128 x 128 pixels is classified with the palette that fits it best, of those that the prompt allows.
    Without a prompt the palette may change along a panorama, which is no fault of the layout.
    """
    model = colour_model(world.palettes_of(prompt), world)
    distance = squared_distance(cells(image), model)
    # The log density up to a constant, but clamped at 5 standard deviations: an odd spot must not decide the palette.
    likelihood = -0.5 * (distance.clamp(max=25.0) + 0.02 * distance + model.log_det[None, :, :, None, None])
    step = WINDOW // BLOCK
    layers = torch.empty(likelihood.shape[0], *likelihood.shape[-2:], dtype=torch.long)
    for top in range(0, layers.shape[1], step):
        for left in range(0, layers.shape[2], step):
            part = likelihood[..., top : top + step, left : left + step]
            fit = part.amax(dim=2).sum(dim=(-2, -1))  # (B, P)
            best = part[torch.arange(len(part)), fit.argmax(dim=1)]
            layers[:, top : top + step, left : left + step] = best.argmax(dim=1)
    return layers

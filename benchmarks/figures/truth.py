"""True pictures of a world for a prompt: what panoramas of its model are compared with."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demo.world import WINDOW
from demo.worlds import LANDSCAPES, World

FIRST_SEED = 900_000  # far from those of the training set


def true_scene(prompt: str, seed: int, world: World = LANDSCAPES) -> Any:
    """A scene as the prompt allows: what it names is there, all else is as chance has it in the training set."""
    scene = world.random_scene(np.random.default_rng(FIRST_SEED + seed))
    words = world.vocabulary.known_words(prompt)
    named = {field.name: True for field in fields(scene) if field.name in words}
    palette = {field: word for field, known in world.palette.items() for word in reversed(words) if word in known}
    return replace(scene, **palette, **named)


def true_panorama(prompt: str, seed: int, height: int, width: int, world: World = LANDSCAPES) -> Tensor:
    """One scene from top to bottom and as wide as asked for, (3, height, width) in [0, 1]."""
    scene = true_scene(prompt, seed, world)
    drawn = world.render(scene, height, width, zoom=height / WINDOW, centre=(10.0 + seed, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1).clamp(0, 1)

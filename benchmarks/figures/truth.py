"""True pictures of the bundled model's world for a prompt: what its panoramas are compared with."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from demo.palette import HOURS, SEASONS
from demo.vocabulary import known_words
from demo.world import WINDOW, Scene, random_scene, render

FIRST_SEED = 900_000  # far from those of the training set


def true_scene(prompt: str, seed: int) -> Scene:
    """A scene as the prompt allows: what it names is there, all else is as chance has it in the training set."""
    scene = random_scene(np.random.default_rng(FIRST_SEED + seed))
    words = known_words(prompt)
    named = dict.fromkeys({"mountains", "lake", "clouds"} & set(words), True)
    season = next((word for word in words if word in SEASONS), scene.season)
    hour = next((word for word in words if word in HOURS), scene.hour)
    return replace(scene, season=season, hour=hour, **named)


def true_panorama(prompt: str, seed: int, height: int, width: int) -> Tensor:
    """One scene from top to bottom and as wide as asked for, (3, height, width) in [0, 1]."""
    drawn = render(true_scene(prompt, seed), height, width, zoom=height / WINDOW, centre=(10.0 + seed, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1).clamp(0, 1)

"""What differs between worlds. Dataset, training, pipeline and measures take a `World`; landscapes are the default."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .palette import HOURS, LAYERS, SEASONS, THINGS
from .vocabulary import LANDSCAPE_WORDS, Vocabulary
from .world import FOREST, LAKE, MEADOW, MOUNTAINS, SKY, Render, Scene, random_scene, render


class Example(NamedTuple):
    """A part of a scene in which the colours of all layers are seen."""

    fields: Mapping[str, Any]  # of the scene, beside seed and palette
    zoom: float
    y: float  # of its middle


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A kind of scene with its own truth, and where the weights are that know it."""

    name: str
    layers: tuple[str, ...]  # true order of a column, from top to bottom
    things: tuple[str, ...]  # what is seen on the layers, as in `Render.things`
    palette: Mapping[str, tuple[str, ...]]  # the fields of a scene that set its colours, and the words for them
    vocabulary: Vocabulary
    scene: Callable[..., Any]  # of a seed and other fields
    random_scene: Callable[[np.random.Generator], Any]
    render: Callable[..., Render]
    close_ups: Mapping[int, float]  # how often a close-up of the training set shows each layer; they add up to 1
    examples: Sequence[Example]
    weights: Path  # folder
    way_out: str  # what to do if weights are missing

    @property
    def autoencoder(self) -> Path:
        """File of its weights."""
        return self.weights / "autoencoder.safetensors"

    @property
    def denoiser(self) -> Path:
        """File of its weights."""
        return self.weights / "denoiser.safetensors"

    def palettes_of(self, prompt: str) -> tuple[tuple[str, ...], ...]:
        """The palettes that a prompt allows, each a word for every field; all of them where it names none."""
        words = self.vocabulary.known_words(prompt)
        allowed = ([word for word in known if word in words] or known for known in self.palette.values())
        return tuple(product(*allowed))


LANDSCAPES = World(
    name="landscapes",
    layers=LAYERS,
    things=THINGS,
    palette={"season": SEASONS, "hour": HOURS},
    vocabulary=LANDSCAPE_WORDS,
    scene=Scene,
    random_scene=random_scene,
    render=render,
    close_ups={SKY: 0.16, MOUNTAINS: 0.21, FOREST: 0.25, LAKE: 0.17, MEADOW: 0.21},
    examples=(
        Example({"lake": True}, 1.0, 0.5),
        Example({"lake": False}, 1.0, 0.5),
        Example({"lake": True}, 2.0, 0.7),
        Example({"lake": False}, 2.0, 0.3),
    ),
    weights=Path(__file__).parent / "weights",
    way_out="install the pack again, or make them with `python -m demo.train`",
)

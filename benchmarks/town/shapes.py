"""Rectangles with exact edges: how much of a pixel they cover, so that pictures agree at every zoom."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def span(at: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, pixel: float) -> np.ndarray:
    """The share, 0 to 1, of pixels centred `at` that lies between low and high."""
    return np.clip((high - at) / pixel + 0.5, 0, 1) - np.clip((low - at) / pixel + 0.5, 0, 1)


def line(distance: np.ndarray, thick: float, pixel: float) -> np.ndarray:
    """The share of pixels at this distance from a line that it covers."""
    return span(distance, -thick / 2, thick / 2, pixel)


def soft_edge(inwards: np.ndarray, pixel: float) -> np.ndarray:
    """0 outside, 1 inside, rising over one pixel where the distance `inwards` is 0."""
    return np.clip(inwards / pixel + 0.5, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The pixels of a part of a house, in scene heights; who paints on it changes its arrays."""

    x: np.ndarray  # (1, w) to the right from the left edge of the house
    y: np.ndarray  # (h, 1) upwards from the pavement
    colour: np.ndarray  # (h, w, 3)
    things: np.ndarray  # (h, w) uint8, as in `Render`
    pixel: float
    seed: int

    def paint(self, colour: np.ndarray, cover: np.ndarray) -> None:
        """Lay one colour (3,) over the pixels, as much as each is covered (h, w)."""
        seen = cover > 0
        self.colour[seen] += cover[seen][:, None] * (colour - self.colour[seen])

    def lay(
        self,
        colour: np.ndarray,
        bright: Callable[[np.ndarray, np.ndarray], np.ndarray],
        x: np.ndarray,
        y: np.ndarray,
        cover: np.ndarray,
    ) -> None:
        """Lay a material over the pixels: a colour times 1 + bright(x, y) of the points (N,) that are covered."""
        seen = cover > 0
        if seen.any():
            at = (np.broadcast_to(one, seen.shape)[seen] for one in (x, y))
            self.colour[seen] += cover[seen][:, None] * (colour * (1 + bright(*at))[:, None] - self.colour[seen])

    def shade(self, bright: np.ndarray | float, cover: np.ndarray | float = 1.0) -> None:
        """Multiply the brightness by 1 + bright where covered."""
        self.colour[:] *= np.clip(1 + cover * bright, 0.1, 2.5)[..., None]

"""Rectangles with exact edges: how much of a pixel they cover, so that they agree at every zoom."""

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
    """The pixels of a part of a picture, in coordinates of what is painted there, in scene heights."""

    x: np.ndarray  # (1, w) to the right from the left edge of the house
    y: np.ndarray  # (h, 1) upwards from the pavement
    colour: np.ndarray  # (h, w, 3)
    things: np.ndarray  # (h, w) uint8
    pixel: float
    seed: int

    def paint(self, colour: np.ndarray, cover: np.ndarray) -> None:
        """Lay a colour, (3,) or (h, w, 3), over the pixels, as much as each is covered."""
        self.colour[:] += cover[..., None] * (colour - self.colour)

    def shade(self, bright: np.ndarray, cover: np.ndarray | float = 1.0) -> None:
        """Multiply the brightness by 1 + bright where covered."""
        self.colour[:] *= np.clip(1 + cover * bright, 0.1, 2.5)[..., None]

    def box(self, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
        """(h, w) cover of a rectangle from the left to the right and from the lower to the upper end."""
        return span(self.x, *x, self.pixel) * span(self.y, *y, self.pixel)

"""Pavement, kerb and road in front of the houses."""

import numpy as np

from .materials import setts, slabs
from .palette import TownPalette

PAVEMENT, KERB = 0.046, 0.009  # scene heights from top to bottom
FIRST, REACH = 0.0068, 0.16  # height of the first row of setts, and the distance at which it has doubled


def street_colours(x: np.ndarray, depth: np.ndarray, pixel: float, seed: int, p: TownPalette) -> np.ndarray:
    """(h, w, 3) of pixels at x (1, w) and `depth` (h, 1) below the houses."""
    below = depth - PAVEMENT - KERB
    row = np.log1p(np.maximum(below, 0) / REACH) * REACH / FIRST
    high = FIRST * (1 + np.maximum(below, 0) / REACH)
    road = p.road * (1 + setts(x, row, high, pixel, seed))[..., None]
    flags = p.pavement * (1 + slabs(x, depth, (0.040, PAVEMENT / 2), pixel, seed + 20))[..., None]
    edge = p.pavement * (1.10 + slabs(x, depth - PAVEMENT + 0.02, (0.110, 0.05), pixel, seed + 40))[..., None]
    colour = _upon(road, edge, below, pixel)
    colour *= (1 - 0.35 * np.clip(1 - np.abs(below - 0.001) / 0.003, 0, 1))[..., None]
    colour = _upon(colour, flags, depth - PAVEMENT, pixel)
    shadow = -0.40 * np.exp(-np.maximum(depth, 0) / 0.007) - 0.12 * np.exp(-np.maximum(depth, 0) / 0.03)
    return (colour * (1 + shadow)[..., None]).astype(np.float32)


def _upon(below: np.ndarray, above: np.ndarray, depth: np.ndarray, pixel: float) -> np.ndarray:
    """Two surfaces that meet at depth 0."""
    cover = np.clip(depth / pixel + 0.5, 0, 1)[..., None]
    return above + cover * (below - above)

"""Things scattered over the plane, such as leaves, stones and flowers: one per cell of a lattice, at a random place.

Like the noise they are in world coordinates: a place has the same leaf at every scale. All functions take flat arrays
x, y of points (N,).
"""

from typing import NamedTuple

import numpy as np

from .noise import random_cell


class Leaves(NamedTuple):
    """The uppermost leaf at every point; each (N,)."""

    along: np.ndarray  # 0 (stalk) to 1 (tip)
    across: np.ndarray  # -1 to 1 from rim to rim, 0 on the spine
    tone: np.ndarray  # 0 to 1, at random for each leaf
    cover: np.ndarray  # 1 on a leaf, 0 between them


def leaves(
    x: np.ndarray, y: np.ndarray, size: tuple[float, float], angle: float, pixel: float, seed: int, spread: float = 0.6
) -> Leaves:
    """Overlapping pointed shapes of `size` (length, width) that point along `angle` (0 to the right, pi / 2 down).

    Directions differ: a tip is at most `spread` leaf widths away from that line.
    """
    long, wide = size
    a = (np.cos(angle) * x + np.sin(angle) * y) / (0.6 * long)
    b = (np.cos(angle) * y - np.sin(angle) * x) / (0.7 * wide)
    i, j = np.floor(a), np.floor(b)
    a, b = (a - i).astype(np.float32), (b - j).astype(np.float32)
    soft = np.float32(wide / pixel)
    along = across = tone = cover = np.zeros_like(a)
    # In the order of the cells, so that the same leaf is on top for all points.
    for dj in (-1, 0, 1):
        for di in (-2, -1, 0):
            luck = random_cell(i + di, j + dj, seed)
            other, third = luck * 89 % 1, luck * 541 % 1
            s = (a - di - other) * np.float32(0.6)
            lean = 2 * third - 1
            middle = b - dj - 0.5 - np.float32(0.3) * (2 * other - 1) - np.float32(spread) * lean * s
            half = np.float32(2.6) * np.sqrt(np.clip(s, 0, 1)) * np.clip(1 - s, 0, 1) * (0.45 + 0.25 * luck)
            here = np.clip((half - np.abs(middle) * np.float32(0.7)) * soft + 0.5, 0, 1) * (half > 0)
            along = along + here * (s - along)
            across = across + here * (middle * np.float32(0.7) / np.maximum(half, 1e-3) - across)
            tone = tone + here * (luck - tone)
            cover = cover + here * (1 - cover)
    return Leaves(along, np.clip(across, -1, 1), tone, cover)


class Stones(NamedTuple):
    """The stone at every point; each (N,)."""

    tone: np.ndarray  # 0 to 1, at random for each stone
    rim: np.ndarray  # 0 on the joint between two stones, growing to about 1 inside


def stones(x: np.ndarray, y: np.ndarray, size: float, seed: int) -> Stones:
    """A mosaic of irregular stones (Worley 1996), about `size` wide."""
    x, y = x / size, y / size
    i, j = np.floor(x), np.floor(y)
    x, y = (x - i).astype(np.float32), (y - j).astype(np.float32)
    first, second, tone = np.full_like(x, 9), np.full_like(x, 9), np.zeros_like(x)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            luck = random_cell(i + di, j + dj, seed)
            away = np.hypot(x - di - luck * 89 % 1, y - dj - luck * 541 % 1)
            nearer = away < first
            second = np.where(nearer, first, np.minimum(second, away))
            tone = np.where(nearer, luck, tone)
            first = np.where(nearer, away, first)
    return Stones(tone, second - first)


class Spots(NamedTuple):
    """The round thing in the cell of every point; each (N,)."""

    dx: np.ndarray  # from its centre, in radii
    dy: np.ndarray
    tone: np.ndarray  # 0 to 1, at random for each thing

    @property
    def radius(self) -> np.ndarray:
        """Distance from the centre in radii; the thing ends at 1."""
        return np.hypot(self.dx, self.dy)


def spots(x: np.ndarray, y: np.ndarray, spacing: float, seed: int, share: float) -> Spots:
    """Round things in a part `share` of the cells; they are narrower than half the `spacing`, so none is cut."""
    x, y = x / spacing, y / spacing
    i, j = np.floor(x), np.floor(y)
    luck = random_cell(i, j, seed)
    tone = luck / np.float32(share)
    radius = np.where(tone < 1, 0.17 + 0.09 * tone, np.float32(1e-6))  # an empty cell is far from anything
    dx = (x - i).astype(np.float32) - (0.27 + 0.46 * (luck * 89 % 1))
    dy = (y - j).astype(np.float32) - (0.27 + 0.46 * (luck * 541 % 1))
    return Spots(dx / radius, dy / radius, np.minimum(tone, 1))

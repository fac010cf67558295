"""Lattice noise in world coordinates: a point has the same value in pictures of any size and scale.

Every octave is value noise: random numbers on an integer lattice, interpolated by smoothstep. A picture at twice the
scale has one more octave, so zooming in shows more detail.
"""

from functools import lru_cache

import numpy as np

PERIOD = 512  # lattice points until the noise repeats; more than any canvas shows
FINEST_WAVE = 3.0  # pixels; finer octaves would alias


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    return np.random.default_rng(0).random((PERIOD, PERIOD), dtype=np.float32)


def _corner(seed: int) -> tuple[int, int]:
    """The start of the lattice of this seed in the table. All seeds share one table: it takes as long as a render."""
    mixed = (seed * 0x9E3779B97F4A7C15 + 0x7F4A7C15) % 2**64
    mixed = ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9) % 2**64
    return (mixed >> 20) % PERIOD, (mixed >> 40) % PERIOD


def random_at(index: np.ndarray, seed: int) -> np.ndarray:
    """Uniform [0, 1) numbers for integers, such as the number of a tree in its row."""
    i, (row, column) = np.asarray(index).astype(np.int64), _corner(seed)
    return _table()[(i // PERIOD + row) % PERIOD, (i + column) % PERIOD]


def _cell(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = np.floor(position)
    t = (position - low).astype(np.float32)
    return low.astype(np.int32), t * t * (3 - 2 * t)


def random_cell(i: np.ndarray, j: np.ndarray, seed: int) -> np.ndarray:
    """Uniform [0, 1) numbers for the cells of a lattice; i and j are whole numbers of any dtype."""
    row, column = _corner(seed)
    return _table()[(j.astype(np.int32) + row) % PERIOD, (i.astype(np.int32) + column) % PERIOD]


def value_noise(x: np.ndarray, y: np.ndarray | float, seed: int) -> np.ndarray:
    """One octave in [0, 1) with lattice spacing 1; x and y broadcast."""
    (i, u), (j, v) = _cell(x), _cell(np.asarray(y))
    table, (row, column) = _table(), _corner(seed)
    i, j = (i + column) % PERIOD, (j + row) % PERIOD
    i1, j1 = (i + 1) % PERIOD, (j + 1) % PERIOD
    upper = table[j, i] * (1 - u) + table[j, i1] * u
    lower = table[j1, i] * (1 - u) + table[j1, i1] * u
    return upper * (1 - v) + lower * v


def fade(size: float, pixel: float) -> float:
    """Opacity of a detail of this size: 0 below 2 pixels, 1 from 5 pixels on."""
    return float(np.clip((size / pixel - 2) / 3, 0, 1))


def octaves(frequency: float, pixel: float, most: int) -> int:
    """How many octaves from `frequency` (1 / scene height) on pixels of size `pixel` (scene heights) can show."""
    finest = 1.0 / (FINEST_WAVE * pixel)
    return int(np.clip(np.floor(np.log2(max(finest / frequency, 1.0))) + 1, 1, most))


def fractal(
    x: np.ndarray, y: np.ndarray | float, frequency: float, pixel: float, seed: int, most: int = 6, gain: float = 0.5
) -> np.ndarray:
    """Sum of the octaves that the pixels can show, about in [-1, 1] and centred at 0."""
    total, amplitude = np.zeros((), np.float32), 1.0
    for octave in range(octaves(frequency, pixel, most)):
        f = frequency * 2**octave
        total = total + amplitude * (2 * value_noise(x * f, np.asarray(y) * f, seed + octave) - 1)
        amplitude *= gain
    return total * np.float32(1 - gain) * 1.6


def ridged(x: np.ndarray, frequency: float, pixel: float, seed: int, most: int = 6) -> np.ndarray:
    """Sharp crests along x, in [0, 1]: `1 - |noise|` per octave (Musgrave), for mountains."""
    total, amplitude, norm = np.zeros((), np.float32), 1.0, 0.0
    for octave in range(octaves(frequency, pixel, most)):
        n = value_noise(x * frequency * 2**octave, 0.5, seed + octave)
        total, norm = total + amplitude * (1 - np.abs(2 * n - 1)), norm + amplitude
        amplitude *= 0.48
    return total / norm


def texture(x: np.ndarray, y: np.ndarray | float, frequency: float, pixel: float, seed: int) -> np.ndarray:
    """Sum of octaves of equal contrast, about in [-0.5, 0.5] each: there is new detail at every scale.

    It is 0 if the pixels are too coarse for `frequency`.
    """
    total, octave = np.zeros(np.broadcast(x, y).shape, dtype=np.float32), 0
    while (clear := fade(1 / (frequency * 2**octave), pixel)) > 0:
        # Each octave is rotated: aligned lattices would look like bricks.
        angle, f = 0.5 + 2.4 * octave, frequency * 2**octave
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        total = total + np.float32(clear) * (value_noise(along * f, across * f, seed + octave) - 0.5)
        octave += 1
    return total

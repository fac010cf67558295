"""What surfaces are made of, from afar to very near: bricks, plaster, wood, tiles, stones, cloth.

Every function takes coordinates that broadcast, in scene heights, and returns brightness (h, w) to add to 1, about 0
on average, so that a close-up agrees with the picture around it. A detail appears as soon as the pixels can show it.
"""

import numpy as np

from demo.noise import fade, fractal, random_cell, texture, value_noise
from demo.scatter import spots, stones

from .shapes import line, span

BRICK = (0.0138, 0.0046)  # length and height, with the joint
JOINT = 0.0008


def bricks(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Courses shifted by half a brick: brightness, and the cover of the mortar less its mean."""
    long, high = BRICK
    grain = 0.10 * fractal(x, y, 9.0, pixel, seed + 5, most=4)
    if not (clear := fade(high, pixel)):
        return grain, np.zeros_like(grain)
    row = np.floor(y / high)
    half = 0.5 * (row % 2)
    column = np.floor(x / long + half)
    dx, dy = x - (column + 0.5 - half) * long, y - (row + 0.5) * high
    brick = span(dx, (JOINT - long) / 2, (long - JOINT) / 2, pixel) * span(dy, (JOINT - high) / 2, (high - JOINT) / 2, pixel)
    share = (1 - JOINT / long) * (1 - JOINT / high)
    tone = random_cell(column, row, seed) + 0.4 * random_cell(column, row, seed + 1) - 0.7
    lit = 0.5 * fade(JOINT, pixel) * np.clip(1 - (high / 2 - dy) / (1.5 * JOINT), 0, 1)
    dark = 0.5 * fade(JOINT, pixel) * np.clip(1 - (high / 2 + dy) / (1.5 * JOINT), 0, 1)
    pits = 0.0
    if deep := fade(0.0005, pixel):
        pit = spots(x, y, 0.0016, seed + 8, share=0.5).radius
        pits = -0.4 * deep * (np.clip(1.3 - pit, 0, 1) - 0.05)
    rough = 0.30 * texture(x, y, 420.0, pixel, seed + 2)
    bright = brick * (0.42 * clear * tone + lit - dark + pits) + clear * rough + (1 - clear) * grain
    return bright + clear * grain, clear * (share - brick)


def plaster(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Stains, trowel marks, cracks and grains of sand."""
    bright = 0.07 * fractal(x, 0.6 * y, 7.0, pixel, seed, most=5) + 0.16 * texture(x, y, 120.0, pixel, seed + 1)
    if clear := fade(0.0012, pixel):
        warp = 0.006 * value_noise(x * 60, y * 60, seed + 2)
        crack = np.abs(value_noise((x + warp) * 22, (y - warp) * 22, seed + 3) - 0.5)
        bright = bright - 0.5 * clear * (np.clip(1 - crack * 45, 0, 1) - 0.03)
    if clear := fade(0.0006, pixel):
        stone = stones(x, y, 0.0011, seed + 4)
        bright = bright + clear * (0.34 * (stone.tone - 0.5) - 0.35 * np.clip(1 - stone.rim * 5, 0, 1) + 0.10)
    return bright


def wood(along: np.ndarray, across: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Grain along the fibres, their rings, and pores."""
    bright = 0.16 * (value_noise(along * 14, across * 180, seed) - 0.5) * min(1.0, 0.006 / pixel)
    if clear := fade(0.0016, pixel):
        bend = 1.6 * value_noise(along * 40, across * 120, seed + 1)
        bright = bright + 0.20 * clear * np.cos(2 * np.pi * (across / 0.0016 + bend))
    if clear := fade(0.0004, pixel):
        pore = value_noise(along * 260, across * 3200, seed + 2)
        bright = bright - 0.5 * clear * (np.clip((pore - 0.62) * 4, 0, 1) - 0.18)
    return bright + 0.14 * texture(along * 0.25, across, 500.0, pixel, seed + 3)


def tiles(x: np.ndarray, y: np.ndarray, pixel: float, seed: int, flat: bool) -> np.ndarray:
    """Rows of roof tiles: rounded and hollow ones, or flat slates."""
    long, high = (0.0150, 0.0115) if flat else (0.0105, 0.0135)
    far = 0.10 * fractal(x, y, 8.0, pixel, seed + 5, most=4)
    if not (clear := fade(high, pixel)):
        return far
    row = np.floor(y / high)
    shift = 0.5 * (row % 2) if flat else 0.0 * row
    column = np.floor(x / long + shift)
    u, v = x / long + shift - column - 0.5, y / high - row  # v rises from the lower edge, 0, of a tile
    tone = random_cell(column, row, seed) - 0.5
    under = np.clip(1 - (1 - v) * high / 0.0022, 0, 1)  # the shadow of the row above
    lip = np.clip(1 - v * high / 0.0012, 0, 1) * fade(0.0012, pixel)
    if flat:
        body = 0.5 * tone - 0.6 * line(np.abs(u) * long - long / 2, 0.0009, pixel)
        fine = 0.30 * texture(0.5 * x, 2.0 * y, 160.0, pixel, seed + 2)
    else:
        body = 0.30 * tone + 0.26 * np.sin(2 * np.pi * (0.25 - u)) - 0.55 * np.clip(np.abs(u) * 6 - 2.3, 0, 1) + 0.04
        fine = 0.26 * texture(x, y, 300.0, pixel, seed + 2)
    bright = far + clear * (body - 0.55 * under + 0.25 * lip + 0.06)
    if deep := fade(0.0012, pixel):
        moss = value_noise(x * 330, y * 330, seed + 3) + 0.5 * texture(x, y, 700.0, pixel, seed + 4)
        bright = bright - 0.35 * deep * (np.clip((moss - 0.68) * 6, 0, 1) - 0.16)
    return bright + fine


def slabs(x: np.ndarray, y: np.ndarray, size: tuple[float, float], pixel: float, seed: int) -> np.ndarray:
    """Cut stones in rows, with joints."""
    long, high = size
    row = np.floor(y / high)
    shift = random_cell(row * 0, row, seed + 1)
    column = np.floor(x / long + shift)
    dx, dy = x - (column + 0.5 - shift) * long, y - (row + 0.5) * high
    gap = 0.0012
    stone = span(dx, (gap - long) / 2, (long - gap) / 2, pixel) * span(dy, (gap - high) / 2, (high - gap) / 2, pixel)
    share = (1 - gap / long) * (1 - gap / high)
    return 0.22 * fade(high, pixel) * (random_cell(column, row, seed) - 0.5) + 0.5 * (stone - share) + granite(x, y, pixel, seed)


def granite(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Grains of several sizes."""
    bright = 0.16 * texture(x, y, 90.0, pixel, seed + 6)
    for size in (0.0030, 0.0008):
        if clear := fade(size, pixel):
            stone = stones(x, y, size, seed + 7)
            bright = bright + 0.30 * clear * (stone.tone - 0.5)
    return bright


def cobbles(x: np.ndarray, row_at: np.ndarray, high: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Rounded setts. `row_at` counts rows from the top, (h, 1); `high` is the height of a row there."""
    long = 0.0150
    row = np.floor(row_at)
    shift = random_cell(row * 0, row, seed + 1)
    column = np.floor(x / long + shift)
    tone = random_cell(column, row, seed) - 0.5
    u = (x / long + shift - column - 0.5) * (1 + 0.08 * tone)
    v = row_at - row - 0.5
    clear = np.clip((high / pixel - 2) / 3, 0, 1)
    round_ = (np.abs(2 * u) ** 3.2 + np.abs(2 * v) ** 3.2) ** (1 / 3.2)
    gap = np.clip((round_ - 0.90) * 0.5 * high / pixel + 0.5, 0, 1)
    dome = (1 - gap) * (-0.20 * v - 0.10 * u + 0.22 * (1 - round_**2))
    return clear * (0.50 * tone + dome - 0.55 * gap + 0.06) + granite(x, row_at * 0.009, pixel, seed + 3)


def cloth(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Folds from top to bottom, and the threads of the weave, over and under each other."""
    bend = 0.0025 * value_noise(x * 50, y * 12, seed)
    bright = 0.22 * fade(0.0060, pixel) * np.cos(2 * np.pi * (x + bend) / 0.0060) + 0.0 * y
    for thread, much in ((0.0011, 0.26), (0.00028, 0.30)):
        if clear := fade(thread, pixel):
            bright = bright + much * clear * np.cos(np.pi * x / thread) * np.cos(np.pi * y / thread)
    return bright + 0.10 * texture(x, y, 900.0, pixel, seed + 1)

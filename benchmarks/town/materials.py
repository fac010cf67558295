"""What surfaces are made of, from afar to very near: bricks, plaster, wood, tiles, stones, cloth.

Every function takes coordinates that broadcast, in scene heights, and returns brightness to add to 1, about 0 on
average, so that a close-up agrees with the picture around it. A detail appears as soon as the pixels can show it.
"""

import numpy as np

from demo.noise import fade, fractal, random_cell, texture, value_noise
from demo.scatter import spots, stones

from .shapes import line, span

BRICK = (0.0138, 0.0046)  # length and height, with the joint
JOINT = 0.0008
TILE, SLATE = (0.0105, 0.0135), (0.0150, 0.0115)
SETT = 0.0150  # length
THREADS = ((0.0011, 0.24), (0.00028, 0.30))  # thickness, and how clearly they show


def _body(offset: np.ndarray, size: float, gap: float, pixel: float) -> np.ndarray:
    """The part of pixels that is on a stone and not in the gap around it, along one axis."""
    return span(offset, (gap - size) / 2, (size - gap) / 2, pixel)


def bricks(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Courses shifted by half a brick: brightness, and the cover of the mortar less its mean."""
    long, high = BRICK
    far = 0.10 * fractal(x, y, 9.0, pixel, seed + 5, most=4)
    if not (clear := fade(high, pixel)):
        return far, np.zeros_like(far)
    row = np.floor(y / high)
    half = 0.5 * (row % 2)
    column = np.floor(x / long + half)
    dx, dy = x - (column + 0.5 - half) * long, y - (row + 0.5) * high
    brick = _body(dx, long, JOINT, pixel) * _body(dy, high, JOINT, pixel)
    tone = random_cell(column, row, seed) + 0.4 * random_cell(column, row, seed + 1) - 0.7
    lit = np.clip(1 - (high / 2 - dy) / (1.5 * JOINT), 0, 1) - np.clip(1 - (high / 2 + dy) / (1.5 * JOINT), 0, 1)
    bright = brick * (0.42 * clear * tone + 0.5 * fade(JOINT, pixel) * lit)
    if near := fade(0.0005, pixel):
        pit = spots(x, y, 0.0016, seed + 8, share=0.5).radius
        bright = bright - 0.4 * near * brick * (np.clip(1.3 - pit, 0, 1) - 0.05)
    mortar = (1 - JOINT / long) * (1 - JOINT / high) - brick
    return bright + clear * 0.30 * texture(x, y, 420.0, pixel, seed + 2) + far, clear * mortar


def plaster(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Stains, the marks of the trowel, and grains of sand."""
    bright = 0.07 * fractal(x, 0.6 * y, 7.0, pixel, seed, most=5) + 0.14 * texture(x, y, 120.0, pixel, seed + 1)
    if clear := fade(0.0050, pixel):
        swing = value_noise(x * 30, y * 30, seed + 2)
        stroke = value_noise((x + 0.8 * y) * 90 + 3 * swing, (y - 0.5 * x) * 420, seed + 3)
        bright = bright + 0.09 * clear * (stroke - 0.5)
    for size, much in ((0.0024, 0.9), (0.0007, 1.0)):
        if clear := fade(0.4 * size, pixel):
            grain = spots(x, y, size, seed + 4, share=0.8)
            body = np.clip((1 - grain.radius) * 0.2 * size / pixel + 0.5, 0, 1)
            lit = 0.30 * (grain.tone - 0.5) - 0.22 * (grain.dx - grain.dy) / 1.4
            rim = np.clip(1 - np.abs(grain.radius - 1.25) * 3, 0, 1) * (grain.dx > grain.dy)
            bright = bright + much * clear * (body * lit - 0.20 * rim + 0.02)
    return bright


def wood(along: np.ndarray, across: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Streaks along the fibres, rings, and pores."""
    bright = 0.16 * min(1.0, 0.006 / pixel) * (value_noise(along * 14, across * 180, seed) - 0.5)
    if clear := fade(0.0016, pixel):
        bend = 1.6 * value_noise(along * 40, across * 120, seed + 1)
        bright = bright + 0.20 * clear * np.cos(2 * np.pi * (across / 0.0016 + bend))
    if clear := fade(0.0004, pixel):
        pore = value_noise(along * 260, across * 3200, seed + 2)
        bright = bright - 0.5 * clear * (np.clip((pore - 0.62) * 4, 0, 1) - 0.18)
    return bright + 0.14 * texture(along * 0.25, across, 500.0, pixel, seed + 3)


def tiles(x: np.ndarray, y: np.ndarray, pixel: float, seed: int, flat: bool) -> np.ndarray:
    """Rows of a roof: hollow tiles, or flat slates."""
    long, high = SLATE if flat else TILE
    far = 0.10 * fractal(x, y, 8.0, pixel, seed + 5, most=4)
    if not (clear := fade(high, pixel)):
        return far
    row = np.floor(y / high)
    shift = 0.5 * (row % 2) * flat
    column = np.floor(x / long + shift)
    u, v = x / long + shift - column - 0.5, y / high - row  # v rises from the lower rim, 0
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
    if near := fade(0.0012, pixel):
        moss = value_noise(x * 330, y * 330, seed + 3) + 0.5 * texture(x, y, 700.0, pixel, seed + 4)
        bright = bright - 0.35 * near * (np.clip((moss - 0.68) * 6, 0, 1) - 0.16)
    return bright + fine


def slabs(x: np.ndarray, y: np.ndarray, size: tuple[float, float], pixel: float, seed: int) -> np.ndarray:
    """Cut stones of a length and a height, in rows."""
    (long, high), gap = size, 0.0012
    row = np.floor(y / high)
    shift = random_cell(0 * row, row, seed + 1)
    column = np.floor(x / long + shift)
    dx, dy = x - (column + 0.5 - shift) * long, y - (row + 0.5) * high
    joint = (1 - gap / long) * (1 - gap / high) - _body(dx, long, gap, pixel) * _body(dy, high, gap, pixel)
    tone = fade(high, pixel) * (random_cell(column, row, seed) - 0.5)
    return 0.22 * tone - 0.5 * joint + granite(x, y, pixel, seed)


def granite(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Clouded stone with crystals of several sizes."""
    bright = 0.18 * texture(x, y, 90.0, pixel, seed + 6)
    for size, much in ((0.0022, 0.14), (0.0006, 0.34)):
        if clear := fade(size, pixel):
            bright = bright + much * clear * (stones(x, y, size, seed + 7).tone - 0.5)
    return bright


def setts(x: np.ndarray, row_at: np.ndarray, high: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Rounded paving stones. `row_at` counts their rows; `high` is the height of a row there."""
    row = np.floor(row_at)
    shift = random_cell(0 * row, row, seed + 1)
    column = np.floor(x / SETT + shift)
    tone = random_cell(column, row, seed) - 0.5
    u, v = (x / SETT + shift - column - 0.5) * (1 + 0.08 * tone), row_at - row - 0.5
    clear = np.clip((high / pixel - 2) / 3, 0, 1)
    out = (np.abs(2 * u) ** 3.2 + np.abs(2 * v) ** 3.2) ** (1 / 3.2)  # 1 at the rim
    gap = np.clip((out - 0.90) * 0.5 * high / pixel + 0.5, 0, 1)
    dome = (1 - gap) * (-0.20 * v - 0.10 * u + 0.22 * (1 - out**2))
    worn = 0.16 * fractal(x, row_at * 0.02, 5.0, pixel, seed + 2, most=3)
    return clear * (0.50 * tone + dome - 0.55 * gap + 0.06) + worn + granite(x, row_at * 0.009, pixel, seed + 3)


def cloth(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Folds from top to bottom, and threads over and under each other."""
    bend = 0.0025 * value_noise(x * 50, y * 12, seed)
    bright = 0.22 * fade(0.0060, pixel) * np.cos(2 * np.pi * (x + bend) / 0.0060)
    for thread, much in THREADS:
        if clear := fade(thread, pixel):
            bright = bright + much * clear * np.cos(np.pi * x / thread) * np.cos(np.pi * y / thread)
    return bright + 0.14 * texture(x, y, 900.0, pixel, seed + 1)


def glass(x: np.ndarray, y: np.ndarray, pixel: float, seed: int) -> np.ndarray:
    """Waves of old panes, dust, and drops of rain."""
    bright = 0.20 * fade(0.0060, pixel) * (value_noise(x * 60, y * 25, seed) - 0.5)
    bright = bright + 0.24 * texture(x, y, 260.0, pixel, seed + 1)
    for size in (0.0044, 0.0013):
        if clear := fade(0.25 * size, pixel):
            drop = spots(x, y, size, seed + 2, share=0.35)
            body = np.clip((1 - drop.radius) * 0.2 * size / pixel + 0.5, 0, 1)
            glint = np.clip(1.6 - 4 * np.hypot(drop.dx + 0.35, drop.dy - 0.35), 0, 1)
            bright = bright + clear * (body * (0.15 - 0.30 * drop.dy) + 0.8 * glint - 0.03)
    return bright

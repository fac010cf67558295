"""Roofs of tiles or slates, with dormers, cornices and chimneys."""

import numpy as np

from demo.noise import fade

from .houses import House
from .materials import bricks, granite, tiles
from .openings import Grid, paint_windows
from .palette import TownPalette
from .shapes import Surface, line, span

DORMER = (0.034, 0.040)  # of its window


def paint_roof(s: Surface, house: House, p: TownPalette) -> None:
    """All of it, chimneys too; what is above its top is painted over by the sky."""
    flat_tiles = p.roofs[2] > p.roofs[0]  # bluish: slates
    above = s.y - house.eaves
    if house.roof == "flat":
        s.colour[:] = p.roofs * (1.02 + granite(s.x, s.y, s.pixel, s.seed + 30))[..., None]
        _cornice(s, above)
    elif house.roof == "steps":
        s.colour[:] = p.roofs * (1.05 + granite(s.x, s.y, s.pixel, s.seed + 30))[..., None]
        s.shade(0.25 * span(above % 0.02, 0.0, 0.004, s.pixel) - 0.02 + 0 * s.x)
    else:
        s.colour[:] = p.roofs * (1 + tiles(s.x, s.y, s.pixel, s.seed + 31, bool(flat_tiles)))[..., None]
        if house.roof == "gable":
            below = house.ridge(s.x.astype(np.float64)) - s.y
            s.shade(0.22 * (below < 0.008) - 0.25 * np.clip(1 - (house.strip - below) / 0.006, 0, 1))
        else:
            _ridge_and_gutter(s, house, above, p)
            _dormers(s, house, p)
    for chimney in house.chimneys:
        _chimney(s, house, p, chimney)


def _cornice(s: Surface, above: np.ndarray) -> None:
    """Mouldings, and small blocks below them."""
    profile = 0.30 * span(above, 0.026, 0.031, s.pixel) - 0.35 * span(above, 0.022, 0.026, s.pixel)
    profile = profile + 0.16 * span(above, 0.010, 0.013, s.pixel) - 0.30 * span(above, 0.0, 0.003, s.pixel)
    blocks = (np.abs(s.x % 0.011 - 0.0055) < 0.003) - 0.5
    s.shade(profile + 0.35 * fade(0.006, s.pixel) * blocks * span(above, 0.014, 0.022, s.pixel))


def _ridge_and_gutter(s: Surface, house: House, above: np.ndarray, p: TownPalette) -> None:
    top = house.roof_height
    caps = 0.12 * np.cos(2 * np.pi * s.x / 0.02) * fade(0.01, s.pixel)
    s.shade((0.16 + caps) * span(above, top - 0.008, top + 1, s.pixel) - 0.4 * line(above - top + 0.0085, 0.0022, s.pixel))
    s.shade(0.10 - 0.5 * np.abs((above - 0.003) / 0.003), span(above, 0.0, 0.006, s.pixel) + 0 * s.x)


def _dormers(s: Surface, house: House, p: TownPalette) -> None:
    """Windows in a roof that is high enough for them, each with a small roof of its own."""
    count = house.bays // 2
    if house.roof_height < 0.085 or not count:
        return
    apart = house.width / count
    column = np.clip(np.floor(s.x / apart), 0, count - 1)
    x = s.x - (column + 0.5) * apart
    y = s.y - house.eaves - 0.036
    wide, tall = DORMER[0] / 2, DORMER[1] / 2
    hood = span(np.abs(x), -1, wide + 0.016 - np.clip(y - tall - 0.004, 0, 1) * 1.4, s.pixel)
    hood = hood * span(y, tall + 0.004, tall + 0.020, s.pixel)
    cheek = span(x, -wide - 0.008, wide + 0.008, s.pixel) * span(y, -tall - 0.010, tall + 0.005, s.pixel)
    s.shade(np.float32(-0.4), span(x, -wide - 0.004, wide + 0.016, s.pixel) * span(y, -tall - 0.014, tall, s.pixel))
    s.paint(p.roofs * np.float32(0.85), cheek)
    there = np.broadcast_to(np.abs(x) < apart / 2, (s.y.shape[0], s.x.shape[1]))
    things = s.things.copy()  # they belong to the roof
    paint_windows(s, Grid(x, y, column, 90 + 0 * y, (wide, tall), there), _plain(house), p)
    s.things[:] = things
    s.paint(p.roofs * (1.12 + 0.8 * tiles(x, y, s.pixel, s.seed + 33, True))[..., None].astype(np.float32), hood)


def _plain(house: House) -> House:
    from dataclasses import replace

    return replace(house, shutters=False, boxes=False)


def _chimney(s: Surface, house: House, p: TownPalette, chimney: tuple[float, float, float]) -> None:
    """Bricks from the roof to its top, a slab, and a shadow on one side."""
    left, right, top = chimney
    foot = float(house.ridge(np.array([(left + right) / 2]))[0]) - 0.024
    body = span(s.x, left, right, s.pixel) * span(s.y, foot, top, s.pixel)
    if not body.any():
        return
    bright, mortar = bricks(s.x, s.y, s.pixel, s.seed + 34)
    brick = p.roofs * np.float32(0.9) * (1 + bright + 0.4 * mortar)[..., None]
    s.paint(brick.astype(np.float32), body)
    s.shade(-0.30 * np.clip((s.x - left) / (right - left), 0, 1), body)
    s.shade(np.float32(0.22), span(s.x, left, right, s.pixel) * span(s.y, top - 0.007, top, s.pixel))
    s.shade(np.float32(-0.35), span(s.x, left, right, s.pixel) * span(s.y, top - 0.0095, top - 0.007, s.pixel))

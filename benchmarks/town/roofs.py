"""Roofs of tiles or slates, with dormers, cornices and chimneys."""

import numpy as np

from demo.noise import fade

from .houses import Chimney, House
from .materials import bricks, granite, tiles
from .openings import Grid, paint_windows
from .palette import TownPalette
from .shapes import Surface, line, span

DORMER = (0.034, 0.040)  # width and height of its window
GUTTER = 0.006
STEEP = 0.085  # height from which a roof has dormers


def paint_roof(s: Surface, house: House, p: TownPalette) -> None:
    """All of a house above its walls."""
    above = s.y - house.eaves
    if house.roof in ("flat", "steps"):
        s.colour[:] = p.roofs * (1.03 + granite(s.x, s.y, s.pixel, s.seed + 30))[..., None]
        if house.roof == "flat":
            _cornice(s, above)
    else:
        s.colour[:] = p.roofs * (1 + tiles(s.x, s.y, s.pixel, s.seed + 31, p.slates))[..., None]
        if house.roof == "gable":
            below = house.ridge(s.x) - s.y
            s.shade(0.22 * (below < 0.008) - 0.25 * np.clip(1 - (house.strip - below) / 0.006, 0, 1))
        else:
            caps = 0.16 + 0.12 * np.cos(2 * np.pi * s.x / 0.02) * fade(0.01, s.pixel)
            s.shade(caps, span(above, house.roof_height - 0.008, house.roof_height + 1, s.pixel))
            s.shade(-0.4, line(above - house.roof_height + 0.0085, 0.0022, s.pixel))
            s.shade(0.1 - 0.5 * np.abs(2 * above / GUTTER - 1), span(above, 0.0, GUTTER, s.pixel))
            if house.roof_height > STEEP and house.bays > 1:
                _dormers(s, house, p)
    for chimney in house.chimneys:
        _chimney(s, chimney, p)


def _cornice(s: Surface, above: np.ndarray) -> None:
    """Mouldings, and small blocks below them."""
    profile = 0.30 * span(above, 0.026, 0.031, s.pixel) - 0.35 * span(above, 0.022, 0.026, s.pixel)
    profile = profile + 0.16 * span(above, 0.010, 0.013, s.pixel) - 0.30 * span(above, 0.0, 0.003, s.pixel)
    block = span(np.abs(s.x % 0.011 - 0.0055), 0.0, 0.003, s.pixel) - 0.5
    s.shade(profile)
    s.shade(0.35 * fade(0.006, s.pixel) * block, span(above, 0.014, 0.022, s.pixel))


def _dormers(s: Surface, house: House, p: TownPalette) -> None:
    """Windows that stand in the roof, with small roofs of their own."""
    apart, px = house.width / (house.bays // 2), s.pixel
    column = np.floor(s.x / apart)
    x, y = s.x - (column + 0.5) * apart, s.y - house.eaves - 0.036
    wide, tall = DORMER[0] / 2, DORMER[1] / 2
    s.shade(-0.4, span(x, -wide - 0.004, wide + 0.016, px) * span(y, -tall - 0.014, tall, px))
    s.paint(
        p.roofs * np.float32(0.85), span(x, -wide - 0.008, wide + 0.008, px) * span(y, -tall - 0.010, tall + 0.005, px)
    )
    paint_windows(s, Grid(x, y, column, 90 + 0 * y, (wide, tall), np.ones(s.things.shape, bool)), p)
    hood = span(np.abs(x), -1.0, wide + 0.016 - 1.4 * np.clip(y - tall - 0.004, 0, 1), px)
    hood = hood * span(y, tall + 0.004, tall + 0.020, px)
    s.lay(p.roofs * np.float32(1.12), lambda x, y: 0.8 * tiles(x, y, px, s.seed + 33, True), x, y, hood)


def _chimney(s: Surface, chimney: Chimney, p: TownPalette) -> None:
    """Bricks from the roof to its top, a slab on them, and a side in the shade."""
    left, right, foot, top = chimney

    def brick(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        bright, mortar = bricks(x, y, s.pixel, s.seed + 34)
        return bright + 0.4 * mortar - 0.30 * np.clip((x - left) / (right - left), 0, 1)

    across = span(s.x, left, right, s.pixel)
    s.lay(p.roofs * np.float32(0.95), brick, s.x, s.y, across * span(s.y, foot, top, s.pixel))
    s.shade(0.22, across * span(s.y, top - 0.007, top, s.pixel))
    s.shade(-0.35, across * span(s.y, top - 0.0095, top - 0.007, s.pixel))

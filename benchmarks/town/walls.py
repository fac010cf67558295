"""Walls of brick, plaster or timber frame."""

import numpy as np

from demo.palette import mix

from .houses import MARGIN, PLINTH, House
from .materials import bricks, plaster, slabs, wood
from .palette import TownPalette
from .shapes import Surface, line, soft_edge, span

BEAM = 0.0105


def paint_wall(s: Surface, house: House, p: TownPalette) -> None:
    """All of it but windows and doors; what is above its top is painted over."""
    colour = p.walls[house.colour % len(p.walls)] * np.float32(house.tone)
    if house.wall == "brick":
        bright, mortar = bricks(s.x, s.y, s.pixel, s.seed)
        s.colour[:] = mix(colour * (1 + bright)[..., None], p.trim * np.float32(0.82), np.clip(mortar, 0, 1))
        s.shade(0.35 * np.clip(mortar, -1, 0))
        _bands(s, house, p)
    else:
        s.colour[:] = colour * (1 + plaster(s.x, s.y, s.pixel, s.seed))[..., None]
        if house.wall == "timber":
            _frame(s, house, p)
        else:
            _bands(s, house, p)
    # The eaves throw a shadow; the gutter of the neighbour throws one beside.
    below = house.wall_top(s.x.astype(np.float64)) - s.y
    s.shade(-0.42 * np.clip(1 - below / 0.016, 0, 1) - 0.10 * np.clip(1 - s.x / 0.012, 0, 1))
    plinth = p.pavement * np.float32(0.92) * (1 + slabs(s.x, s.y, (0.034, PLINTH / 2), s.pixel, s.seed + 9))[..., None]
    s.paint(plinth.astype(np.float32), soft_edge(PLINTH - s.y, s.pixel) + 0 * s.x)


def _bands(s: Surface, house: House, p: TownPalette) -> None:
    """Stone at the corners, and a band of it below each storey."""
    band = 0.0055
    level = PLINTH + house.storey * np.round((s.y - PLINTH) / house.storey)
    level = np.clip(level, PLINTH + house.storey, PLINTH + house.storey * (house.storeys - 1))
    stone = p.trim * (0.96 + 0.6 * slabs(s.x, s.y, (0.03, band), s.pixel, s.seed + 8))[..., None].astype(np.float32)
    s.shade(np.float32(-0.25), line(s.y - level + band, band, s.pixel) + 0 * s.x)
    s.paint(stone, line(s.y - level, band, s.pixel) + 0 * s.x)
    high = 0.016  # quoins: long and short ones in turn
    row = np.floor(s.y / high)
    long = 0.008 + 0.005 * (row % 2)
    edge = np.minimum(s.x, house.width - s.x)
    gap = 1 - 0.4 * line(s.y - (np.round(s.y / high)) * high, 0.0012, s.pixel)
    quoin = p.trim * (0.97 * gap + 0.6 * slabs(s.x, s.y, (0.05, high), s.pixel, s.seed + 7))[..., None]
    s.paint(quoin.astype(np.float32), span(edge, -1.0, long, s.pixel))


def _frame(s: Surface, house: House, p: TownPalette) -> None:
    """Posts between the windows, beams at the floors, and braces in some of the fields."""
    x, y, bay, storey = s.x, s.y - PLINTH, house.bay, house.storey
    post = MARGIN + bay * np.clip(np.round((x - MARGIN) / bay), 0, house.bays)
    floor_ = storey * np.clip(np.round(y / storey), 0, 30)
    _beam(s, p, x - post, y + 0 * x, 0)
    # Braces: from post to post below the windows, falling and rising in turn.
    fx = (x - MARGIN) / bay - np.floor((x - MARGIN) / bay)
    fy = y / storey - np.floor(y / storey)
    slope = 0.20 * storey / bay
    rising = (np.floor((x - MARGIN) / bay) + np.floor(y / storey)) % 2
    away = (fy * storey - 0.20 * storey * np.where(rising > 0, fx, 1 - fx)) / np.hypot(1, slope)
    inside = (fy < 0.24) & (y > 0)
    along = x + 0 * y
    _beam(s, p, np.where(inside, away, 1.0), along, 1)
    rail = y - storey * (np.floor(y / storey) + 0.22)
    _beam(s, p, rail + 0 * x, along, 2)
    _beam(s, p, y - floor_ + 0 * x, along, 3)


def _beam(s: Surface, p: TownPalette, across: np.ndarray, along: np.ndarray, number: int) -> None:
    thick = BEAM * (1.25 if number == 3 else 0.8 if number else 1.0)
    grain = wood(along, across, s.pixel, s.seed + 20 + number)
    round_ = -0.35 * (2 * across / thick) ** 2
    shadow = line(across + 0.15 * thick, thick * 1.2, s.pixel)
    s.shade(np.float32(-0.22), shadow)
    s.paint(p.wood * (1.1 + grain + np.clip(round_, -0.4, 0))[..., None].astype(np.float32), line(across, thick, s.pixel))

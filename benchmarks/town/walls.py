"""Walls of brick, plaster or timber frame, with all that is in them."""

import numpy as np

from demo.palette import mix

from .houses import MARGIN, PLINTH, House
from .materials import bricks, plaster, slabs, wood
from .openings import Grid, paint_door, paint_flowers, paint_shutters, paint_windows, wall_grid
from .palette import TownPalette
from .shapes import Surface, line, soft_edge, span

BEAM = 0.0105  # thickness of a post
BAND, QUOIN = 0.0055, 0.0160  # heights of a band of stone between storeys, and of a corner stone
ATTIC = (0.034, 0.046)  # of the window in a gable that is high enough for one


def paint_wall(s: Surface, house: House, p: TownPalette) -> None:
    """All of a house below its roof."""
    colour = p.walls[house.colour % len(p.walls)] * np.float32(house.tone)
    if house.wall == "brick":
        bright, mortar = bricks(s.x, s.y, s.pixel, s.seed)
        s.colour[:] = mix(colour * (1 + bright)[..., None], p.trim * np.float32(0.82), np.clip(mortar, 0, 1))
        s.shade(0.35 * np.clip(mortar, -1, 0))
    else:
        s.colour[:] = colour * (1 + plaster(s.x, s.y, s.pixel, s.seed))[..., None]
    if house.wall == "timber":
        _frame(s, house, p)
    else:
        _stones(s, house, p)
    # The eaves throw a shadow, and the house on the left does.
    below = house.wall_top(s.x) - s.y
    s.shade(-0.42 * np.clip(1 - below / 0.016, 0, 1) - 0.10 * np.clip(1 - s.x / 0.012, 0, 1))
    s.lay(
        p.pavement * np.float32(0.92), lambda x, y: slabs(x, y, (0.034, PLINTH / 2), s.pixel, s.seed + 9),
        s.x, s.y, soft_edge(PLINTH - s.y, s.pixel) + 0 * s.x,
    )  # fmt: skip
    grid = wall_grid(s, house)
    paint_windows(s, grid, p)
    if house.shutters:
        paint_shutters(s, grid, p.accents[house.accent % len(p.accents)])
    if house.boxes:
        paint_flowers(s, grid, p)
    if house.roof in ("gable", "steps") and house.roof_height > 0.085:
        paint_windows(s, _attic(s, house), p)
    paint_door(s, house, p)


def _attic(s: Surface, house: House) -> Grid:
    """One window in the middle of the gable."""
    x, y = s.x - house.width / 2, s.y - house.eaves - 0.030
    half = (ATTIC[0] / 2, ATTIC[1] / 2)
    there = (np.abs(x) < 0.05) & (np.abs(y) < 0.05)
    return Grid(x, y, 0 * x + 80, 0 * y + 80, half, there)


def _stones(s: Surface, house: House, p: TownPalette) -> None:
    """A band between the storeys, and stones at the corners, long and short in turn."""
    px, storey = s.pixel, house.storey
    level = np.clip(np.round((s.y - PLINTH) / storey), 1, house.storeys - 1) * storey + PLINTH
    s.shade(-0.25, line(s.y - level + BAND, BAND, px))
    s.lay(
        p.trim * np.float32(0.96), lambda x, y: 0.6 * slabs(x, y, (0.03, BAND), px, s.seed + 8),
        s.x, s.y, line(s.y - level, BAND, px) + 0 * s.x,
    )  # fmt: skip
    edge = np.minimum(s.x, house.width - s.x)
    s.lay(
        p.trim * np.float32(0.96), lambda x, y: 0.6 * slabs(x + 1, y, (9.0, QUOIN), px, s.seed + 7),
        s.x, s.y, span(edge, -1.0, 0.008 + 0.005 * (np.floor(s.y / QUOIN) % 2), px),
    )  # fmt: skip


def _frame(s: Surface, house: House, p: TownPalette) -> None:
    """Posts between the windows, beams at the floors, and braces below the windows."""
    x, y, bay, storey = s.x, s.y - PLINTH, house.bay, house.storey
    field, floor_ = np.floor((x - MARGIN) / bay), np.floor(y / storey)
    fx, fy = (x - MARGIN) / bay - field, y - floor_ * storey
    post = x - MARGIN - bay * np.clip(np.round((x - MARGIN) / bay), 0, house.bays)
    _beam(s, p, BEAM, post + 0 * y, y, 0)
    rise = 0.20 * storey
    lean = np.where((field + floor_) % 2 > 0, fx, 1 - fx)  # rising and falling in turn
    brace = (fy - rise * lean) / np.hypot(1, rise / bay)
    _beam(s, p, 0.8 * BEAM, np.where((fy < 1.2 * rise) & (y > 0), brace, 1.0), x, 1)
    _beam(s, p, 0.8 * BEAM, fy - 1.1 * rise + 0 * x, x, 2)
    _beam(s, p, 1.25 * BEAM, y - storey * np.maximum(np.round(y / storey), 0) + 0 * x, x, 3)


def _beam(s: Surface, p: TownPalette, thick: float, across: np.ndarray, along: np.ndarray, number: int) -> None:
    s.shade(-0.22, line(across + 0.15 * thick, 1.2 * thick, s.pixel))

    def bright(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        return 0.1 + wood(along, across, s.pixel, s.seed + 20 + number) - 0.35 * np.minimum(2 * across / thick, 1) ** 2

    s.lay(p.wood, bright, along, across, line(across, thick, s.pixel))

"""Windows with their frames, panes and curtains; shutters, flower boxes and doors."""

from functools import partial
from typing import NamedTuple

import numpy as np

from demo.noise import fade, random_cell, value_noise
from demo.palette import mix
from demo.scatter import leaves, spots

from .houses import MARGIN, PLINTH, House
from .materials import cloth, glass, slabs, wood
from .palette import THINGS, TownPalette
from .shapes import Surface, line, soft_edge, span

WINDOW, DOOR = (1 + THINGS.index(thing) for thing in ("windows", "doors"))
FRAME, BAR = 0.0040, 0.0022  # thickness of a frame and of the bars between panes
SURROUND, SILL = 0.0060, 0.0080  # width of the stones around a window, height of those below
SLAT = 0.0048  # of a shutter, from one to the next
BOX = 0.0110  # height of a flower box
DOORWAY = (0.048, 0.092)  # width and height


class Grid(NamedTuple):
    """Windows in rows and columns: where each pixel is in the window nearest to it."""

    x: np.ndarray  # (1, w) to the right from its middle
    y: np.ndarray  # (h, 1) upwards from its middle
    column: np.ndarray  # (1, w)
    row: np.ndarray  # (h, 1)
    half: tuple[float, float]  # half its width and height
    there: np.ndarray  # (h, w) bool, whether there is a window

    def box(self, x: tuple[float, float], y: tuple[float, float], pixel: float) -> np.ndarray:
        """(h, w) cover of a rectangle in every window: its left and right end, its lower and upper one."""
        return self.there * span(self.x, *x, pixel) * span(self.y, *y, pixel)


def wall_grid(s: Surface, house: House) -> Grid:
    """The windows of a wall; one bay of the ground floor has a door."""
    column = np.clip(np.floor((s.x - MARGIN) / house.bay), 0, house.bays - 1)
    row = np.clip(np.floor((s.y - PLINTH) / house.storey), 0, house.storeys - 1)
    x = s.x - MARGIN - (column + 0.5) * house.bay
    y = s.y - PLINTH - (row + 0.54) * house.storey
    half = house.window[0] / 2, house.window[1] / 2
    return Grid(x, y, column, row, half, (row > 0) | (column != house.door))


def paint_windows(s: Surface, grid: Grid, p: TownPalette) -> None:
    """Surround, sill, frame, what is behind the glass, and the bars between the panes."""
    (wide, tall), px = grid.half, s.pixel
    box, seed = partial(grid.box, pixel=px), s.seed

    def stone(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.5 * slabs(x, y, (0.05, 0.02), px, seed + 50)

    around, ledge = wide + SURROUND, wide + SURROUND + 0.003
    s.lay(p.trim, stone, grid.x, grid.y, box((-around, around), (-tall, tall + SURROUND + 0.002)))
    s.shade(-0.35, box((0.002 - ledge, ledge + 0.002), (-tall - SILL - 0.004, -tall - SILL + 0.001)))
    s.lay(p.trim * np.float32(1.04), stone, grid.x, grid.y, box((-ledge, ledge), (-tall - SILL, -tall)))
    frame = box((-wide, wide), (-tall, tall))
    s.lay(p.trim * np.float32(0.9), lambda x, y: 0.5 * wood(y, x, px, seed + 51), grid.x, grid.y, frame)
    inner = box((FRAME - wide, wide - FRAME), (FRAME - tall, tall - FRAME))
    if (seen := inner > 0).any():
        s.colour[seen] += inner[seen][:, None] * (_behind(s, grid, seen, p) - s.colour[seen])
    bars = np.maximum(line(grid.x, 1.5 * BAR, px), line(grid.y - tall / 3, BAR, px))
    s.lay(p.trim * np.float32(0.94), lambda x, y: 0.4 * wood(y, x, px, seed + 53), grid.x, grid.y, inner * bars)
    s.shade(-0.45 * np.clip(1 - (tall - FRAME - grid.y) / 0.006, 0, 1), inner)
    s.things[grid.there & (np.abs(grid.x) < wide) & (np.abs(grid.y) < tall)] = WINDOW


def _behind(s: Surface, grid: Grid, seen: np.ndarray, p: TownPalette) -> np.ndarray:
    """Colours (N, 3) of the points `seen` through the glass: a dark or lit room, curtains, and the sky in the panes."""
    px, (wide, tall) = s.pixel, grid.half
    column, row, x, y = (np.broadcast_to(one, seen.shape)[seen] for one in (grid.column, grid.row, grid.x, grid.y))
    lamp, drawn, kind, lean = (random_cell(column, row, s.seed + k) for k in range(40, 44))
    lit = (lamp < p.lit).astype(np.float32)
    up = np.clip(0.5 + y / (2 * tall), 0, 1)
    room = mix(p.sky.light * np.float32(0.20), p.glow * np.float32(0.85), lit * (0.5 + 0.5 * up))
    sky = mix(p.sky.horizon * np.float32(0.75), p.sky.zenith * np.float32(0.6) + p.trim * np.float32(0.1), up)
    glint = 0.35 + 0.25 * np.clip(np.sin((x + 0.7 * y) * 60 + 6 * lean), 0, 1)
    colour = mix(room, sky, glint * (1 - 0.8 * lit))
    colour = colour * (1 + glass(x, y, px, s.seed + 54))[:, None]
    fabric = mix(p.trim, p.glow, 0.8 * lit) * (0.80 + 0.15 * lean + cloth(x + wide, y, px, s.seed + 52))[:, None]
    aside = soft_edge(np.abs(x) - (0.15 + 0.75 * drawn) * wide - 0.002 * np.sin(y * 90), px)
    short = soft_edge(0.25 * tall - y, px)  # over the lower panes
    return mix(colour, fabric, 0.9 * np.where(kind < 0.6, aside, np.where(kind < 0.85, short, 0.0)))


def paint_shutters(s: Surface, grid: Grid, accent: np.ndarray) -> None:
    """Two leaves of slats beside each window."""
    (wide, tall), px = grid.half, s.pixel
    leaf = 0.8 * wide
    for side in (-1, 1):
        x = side * grid.x - wide - 0.004 - leaf / 2
        inside = span(x, 0.003 - leaf / 2, leaf / 2 - 0.003, px) * span(grid.y, 0.004 - tall, tall - 0.004, px)
        turn = grid.y / SLAT - np.floor(grid.y / SLAT)
        body = grid.there * span(x, -leaf / 2, leaf / 2, px) * span(grid.y, -tall, tall, px)
        s.lay(accent, lambda x, y: 0.7 * wood(x, y, px, s.seed + 55), grid.x, grid.y, body)
        slats = 0.7 * (turn - 0.5) - 0.5 * np.clip(1 - turn * 5, 0, 1) + 0.05
        s.shade(fade(SLAT, px) * slats, inside * grid.there)


def paint_flowers(s: Surface, grid: Grid, p: TownPalette) -> None:
    """A box below each window, leaves above its rim and flowers among them."""
    (wide, tall), px, seed = grid.half, s.pixel, s.seed
    low, around = -tall - 0.010, (-wide - 0.005, wide + 0.005)
    green = p.accents[1] * np.float32(1.1)
    bloom = p.sky.light * np.array((0.90, 0.20, 0.30), np.float32)
    top = low + BOX + 0.010 * (0.5 + 0.5 * value_noise(grid.x * 160, 0.5, seed + 56))
    bush = grid.there * span(grid.x, *around, px) * span(grid.y, low, top, px)
    if (seen := bush > 0).any():
        x, y = (np.broadcast_to(one, seen.shape)[seen] for one in (grid.x, grid.y))
        leaf = leaves(x, y, (0.0080, 0.0030), -1.2, px, seed + 57, spread=1.5)
        lit = leaf.cover * (0.9 * (leaf.tone - 0.4) + 0.4 * (leaf.along - 0.4)) - 0.35 * (1 - leaf.cover)
        far = mix(green, green * np.float32(0.8) + bloom * np.float32(0.3), 0.5 * (1 - fade(0.0022, px)))
        colour = far * (1 + fade(0.0030, px) * lit)[:, None]
        flower = spots(x, y, 0.0060, seed + 58, share=0.6)
        petal = np.clip((1 - flower.radius) * 0.0015 / px + 0.5, 0, 1) * fade(0.0022, px)
        colour = mix(colour, bloom * (1.2 - 0.4 * np.minimum(flower.radius, 1))[:, None], petal)
        s.colour[seen] += bush[seen][:, None] * (colour - s.colour[seen])
    box = grid.box(around, (low - 0.002, low + BOX - 0.002), px)
    s.lay(p.wood * np.float32(1.5), lambda x, y: wood(x, y, px, seed + 59), grid.x, grid.y, box)


def paint_door(s: Surface, house: House, p: TownPalette) -> None:
    """A panelled door under a pane, with its frame, a step and a handle."""
    px, seed, high = s.pixel, s.seed, DOORWAY[1]
    half = min(DOORWAY[0], 0.8 * house.bay) / 2
    x, y = s.x - MARGIN - (house.door + 0.5) * house.bay, s.y

    def box(left: float, right: float, low: float, top: float) -> np.ndarray:
        return span(x, left, right, px) * span(y, low, top, px)

    outer = box(-half - 0.010, half + 0.010, -1.0, high + 0.008)
    if not outer.any():
        return
    accent = p.accents[(house.accent + house.bays) % len(p.accents)]
    s.lay(
        p.trim, lambda x, y: 0.5 * slabs(x, y, (0.05, 0.02), px, seed + 60), x, y,
        box(-half - 0.007, half + 0.007, 0, high + 0.008),
    )  # fmt: skip
    s.shade(-0.6, box(-half, half, 0, high))
    s.lay(accent, lambda x, y: 0.9 * wood(y, x, px, seed + 61), x, y, box(0.003 - half, half - 0.003, 0, high - 0.002))
    for low, top in ((0.010, 0.30 * high), (0.34 * high, 0.70 * high)):
        for left, right in ((0.007 - half, -0.0025), (0.0025, half - 0.007)):
            field = box(left + 0.0018, right - 0.0018, low + 0.0018, top - 0.0018)
            s.shade(np.where(y < (low + top) / 2, 0.35, -0.35), box(left, right, low, top) - field)
            s.shade(0.08, field)
    pane = box(0.006 - half, half - 0.006, 0.74 * high, high - 0.006)
    behind = mix(p.sky.light * np.float32(0.22), p.glow * np.float32(0.8), min(1.0, 1.6 * p.lit))
    s.lay(behind, lambda x, y: glass(x, y, px, seed + 63), x, y, pane)
    s.paint(accent, pane * line(x, BAR, px))
    dx, dy = x - 0.6 * half, y - 0.46 * high
    brass = p.sky.light * np.array((0.95, 0.78, 0.35), np.float32)
    s.lay(
        brass, lambda x, y: np.clip(0.3 - np.hypot(x + 0.0006, y - 0.0006) / 0.0016, -0.7, 0.3), dx, dy,
        soft_edge(0.0018 - np.hypot(dx, dy), px) * fade(0.0030, px),
    )  # fmt: skip
    step = box(-half - 0.010, half + 0.010, -1.0, 0.006)
    s.lay(p.pavement * np.float32(1.15), lambda x, y: slabs(x, y, (0.04, 0.02), px, seed + 62), x, y, step)
    s.things[(np.abs(x) < half) & (y < high)] = DOOR

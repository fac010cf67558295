"""Windows with their frames, panes and curtains; shutters, flower boxes and doors."""

from typing import NamedTuple

import numpy as np

from demo.noise import fade, random_cell, texture, value_noise
from demo.palette import mix
from demo.scatter import leaves, spots

from .houses import MARGIN, PLINTH, House
from .materials import cloth, slabs, wood
from .palette import TownPalette
from .shapes import Surface, line, span

WINDOWS, DOORS = 2, 3  # in `Render.things`; 1 is a cloud
FRAME, BAR = 0.0040, 0.0022  # thickness of a frame and of the bars between panes
DOOR = (0.046, 0.084)  # width and height


class Grid(NamedTuple):
    """Windows in rows and columns: where each pixel is in the window nearest to it."""

    x: np.ndarray  # (1, w) to the right from its middle
    y: np.ndarray  # (h, 1) upwards from its middle
    column: np.ndarray  # (1, w)
    row: np.ndarray  # (h, 1)
    half: tuple[float, float]  # half its width and height
    there: np.ndarray  # (h, w) bool, whether there is a window


def wall_grid(s: Surface, house: House) -> Grid:
    """The windows of a wall; one bay of the ground floor has a door."""
    column = np.clip(np.floor((s.x - MARGIN) / house.bay), 0, house.bays - 1)
    row = np.clip(np.floor((s.y - PLINTH) / house.storey), 0, house.storeys - 1)
    x = s.x - MARGIN - (column + 0.5) * house.bay
    y = s.y - PLINTH - (row + 0.54) * house.storey
    half = house.window[0] / 2, house.window[1] / 2
    return Grid(x, y, column, row, half, (row > 0) | (column != house.door))


def paint_windows(s: Surface, grid: Grid, house: House, p: TownPalette) -> None:
    """Surround, sill, frame, what is behind the glass, panes and bars."""
    (wide, tall), px = grid.half, s.pixel
    there = grid.there.astype(np.float32)
    luck = [random_cell(grid.column, grid.row, s.seed + k) for k in range(40, 44)]
    accent = p.accents[house.accent % len(p.accents)]

    def box(left: float, right: float, low: float, high: float) -> np.ndarray:
        return there * span(grid.x, left, right, px) * span(grid.y, low, high, px)

    stone = 0.5 * slabs(grid.x, grid.y, (0.05, 0.02), px, s.seed + 50)
    trim = p.trim * (1 + stone)[..., None]
    s.paint(trim, box(-wide - 0.006, wide + 0.006, -tall, tall + 0.008))
    s.shade(np.float32(-0.35), box(-wide - 0.008, wide + 0.008, -tall - 0.012, -tall - 0.007))
    s.paint(trim * 1.04, box(-wide - 0.009, wide + 0.009, -tall - 0.008, -tall))
    outer, inner = box(-wide, wide, -tall, tall), box(FRAME - wide, wide - FRAME, FRAME - tall, tall - FRAME)
    s.paint(p.trim * (0.92 + 0.5 * wood(grid.y, grid.x, px, s.seed + 51))[..., None] * np.float32(0.97), outer)
    seen = inner > 0
    if seen.any():
        behind = _behind(grid, [np.broadcast_to(one, seen.shape) for one in luck], seen, p, s)
        full = s.colour[seen]
        s.colour[seen] = full + inner[seen][:, None] * (behind - full)
    bars = np.maximum(line(grid.x, 1.5 * BAR, px) + 0 * grid.y, line(grid.y - tall / 3, BAR, px) + 0 * grid.x)
    s.paint(p.trim * np.float32(0.94), inner * bars)
    s.shade(-0.45 * np.clip(1 - (tall - FRAME - grid.y) / 0.006, 0, 1), inner)
    s.things[grid.there & (np.abs(grid.x) < wide) & (np.abs(grid.y) < tall)] = WINDOWS
    if house.shutters:
        _shutters(s, grid, there, accent)
    if house.boxes:
        _flowers(s, grid, there, p)


def _behind(grid: Grid, luck: list[np.ndarray], seen: np.ndarray, p: TownPalette, s: Surface) -> np.ndarray:
    """Colours (N, 3) of the points `seen` through the glass: a dark or lit room, curtains, and the sky in the panes."""
    px, (wide, tall) = s.pixel, grid.half
    x, y = (np.broadcast_to(one, seen.shape)[seen] for one in (grid.x, grid.y))
    lamp, drawn, kind, lean = (one[seen] for one in luck)
    lit = (lamp < p.lit).astype(np.float32)
    room = mix(p.sky.light * np.float32(0.20), p.glow * np.float32(0.85), lit * np.clip(0.75 + y / tall * 0.25, 0, 1))
    sky = mix(p.sky.zenith * np.float32(0.6) + p.trim * np.float32(0.1), p.sky.horizon * np.float32(0.75), 0.5 - y / (2 * tall))
    glint = 0.35 + 0.25 * np.clip(np.sin((x + 0.7 * y) * 60 + 6 * lean), 0, 1)
    colour = mix(room, sky, glint * (1 - 0.8 * lit))
    fabric = mix(p.trim, p.glow, 0.8 * lit)
    fabric = fabric * (0.80 + 0.15 * lean + cloth(x + wide, y, px, s.seed + 52))[:, None]
    open_ = 0.15 + 0.75 * drawn  # how far the curtains leave the middle free
    aside = np.clip((np.abs(x) - open_ * wide - 0.002 * np.sin(y * 90)) / px + 0.5, 0, 1)
    half = np.clip((0.25 * tall - y) / px + 0.5, 0, 1)  # a short curtain over the lower panes
    cover = np.where(kind < 0.6, aside, np.where(kind < 0.85, half, 0.0))
    colour = mix(colour, fabric, 0.9 * cover)
    if clear := fade(0.0009, px):
        dust = value_noise(x * 700, y * 700, s.seed + 53) + texture(x, y, 600.0, px, s.seed + 54)
        colour = colour * (1 + 0.16 * clear * (dust - 0.5))[:, None]
    return colour.astype(np.float32)


def _shutters(s: Surface, grid: Grid, there: np.ndarray, accent: np.ndarray) -> None:
    """Two leaves of slats beside each window."""
    (wide, tall), px, slat = grid.half, s.pixel, 0.0048
    leaf = 0.8 * wide
    for side in (-1, 1):
        x = side * grid.x - wide - 0.004 - leaf / 2
        body = there * span(x, -leaf / 2, leaf / 2, px) * span(grid.y, -tall, tall, px)
        inside = span(x, 0.003 - leaf / 2, leaf / 2 - 0.003, px) * span(grid.y, 0.004 - tall, tall - 0.004, px)
        turn = grid.y / slat - np.floor(grid.y / slat)
        slats = fade(slat, px) * inside * (0.7 * (turn - 0.5) - 0.5 * np.clip(1 - turn * 5, 0, 1) + 0.05)
        grain = wood(grid.x, grid.y, px, s.seed + 55)
        s.paint(accent * (1 + slats + 0.6 * grain)[..., None].astype(np.float32), body)


def _flowers(s: Surface, grid: Grid, there: np.ndarray, p: TownPalette) -> None:
    """A box below the window, leaves above its rim and flowers among them."""
    (wide, tall), px, high = grid.half, s.pixel, 0.011
    floor_, x, y = -tall - 0.006, grid.x + 0 * grid.y, grid.y + 0 * grid.x
    green = p.accents[1] * np.float32(1.1)
    frayed = 0.010 * (0.5 + 0.5 * value_noise(grid.x * 160, 0.5, s.seed + 56))
    cover = there * span(grid.x, -wide - 0.004, wide + 0.004, px) * span(grid.y, floor_, floor_ + high + frayed, px)
    leaf = leaves(x, y, (0.0080, 0.0030), -1.2, px, s.seed + 57, spread=1.5)
    clear = fade(0.0030, px)
    bright = clear * (leaf.cover * (0.9 * (leaf.tone - 0.4) + 0.4 * (leaf.along - 0.4)) - 0.35 * (1 - leaf.cover))
    colour = green * (1 + bright)[..., None]
    flower = spots(x, y, 0.0060, s.seed + 58, share=0.6)
    petal = np.clip((1 - flower.radius) * 0.0015 / px + 0.5, 0, 1) * fade(0.0022, px)
    bloom = p.sky.light * np.array((0.90, 0.20, 0.30), np.float32)
    colour = mix(colour, bloom * (1.2 - 0.4 * np.minimum(flower.radius, 1))[..., None], petal)
    colour = mix(colour, green * np.float32(0.8) + bloom * np.float32(0.3), np.full_like(petal, 0.5 * (1 - fade(0.0022, px))))
    s.paint(colour.astype(np.float32), cover)
    box = there * span(grid.x, -wide - 0.005, wide + 0.005, px) * span(grid.y, floor_ - 0.004, floor_ + high - 0.004, px)
    s.paint(p.wood * (1.5 + wood(grid.x, grid.y, px, s.seed + 59))[..., None].astype(np.float32), box)


def paint_door(s: Surface, house: House, p: TownPalette) -> None:
    """A panelled door under a pane, with its frame, a step and a handle."""
    px, (wide, high) = s.pixel, DOOR
    wide = min(wide, 0.8 * house.bay)
    x = s.x - MARGIN - (house.door + 0.5) * house.bay
    y, half = s.y, wide / 2
    if np.abs(x).min() > half + 0.02 or y.min() > high + 0.02:
        return

    def box(left: float, right: float, low: float, top: float) -> np.ndarray:
        return span(x, left, right, px) * span(y, low, top, px)

    accent = p.accents[(house.accent + house.bays) % len(p.accents)]
    s.paint(p.trim * (1 + 0.5 * slabs(x, y, (0.05, 0.02), px, s.seed + 60))[..., None], box(-half - 0.007, half + 0.007, 0, high + 0.009))
    s.shade(np.float32(-0.6), box(-half, half, 0, high))
    body = box(0.003 - half, half - 0.003, 0, high - 0.002)
    grain = wood(y, x, px, s.seed + 61)
    s.paint(accent * (1 + 0.9 * grain)[..., None].astype(np.float32), body)
    pane = 0.74 * high
    for low, top in ((0.008, 0.30 * high), (0.34 * high, 0.70 * high)):
        for left, right in ((0.007 - half, -0.0025), (0.0025, half - 0.007)):
            rim, field = box(left, right, low, top), box(left + 0.0018, right - 0.0018, low + 0.0018, top - 0.0018)
            above = np.clip((y - (low + top) / 2) / (top - low) * 2, -1, 1)
            s.shade(0.35 * np.sign(-above) * np.ones_like(x), rim - field)
            s.shade(np.float32(0.08), field)
    glass = mix(p.sky.light * np.float32(0.22), p.glow * np.float32(0.8), np.float32(min(1.0, 1.6 * p.lit)))
    s.paint(glass, box(0.006 - half, half - 0.006, pane, high - 0.006))
    s.paint(accent, box(-0.001, 0.001, pane, high - 0.006))
    knob = np.hypot(x - 0.30 * wide, y - 0.46 * high)
    brass = p.sky.light * np.array((0.95, 0.78, 0.35), np.float32)
    shine = np.clip(1.3 - np.hypot(x - 0.30 * wide + 0.0006, y - 0.46 * high - 0.0006) / 0.0016, 0.3, 1.3)
    s.paint(brass * shine[..., None].astype(np.float32), np.clip((0.0018 - knob) / px + 0.5, 0, 1) * fade(0.0030, px))
    step = p.pavement * (1.15 + slabs(x, y, (0.04, 0.02), px, s.seed + 62))[..., None]
    s.paint(step.astype(np.float32), box(-half - 0.010, half + 0.010, 0, 0.006))
    s.things[(np.abs(x) < half) & (y < high)] = DOORS

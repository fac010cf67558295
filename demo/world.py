"""Landscapes drawn by a procedure, so that their true layout, palette and scale are known.

World coordinates are in scene heights: x to the right without end, y from 0 (top of the scene) to 1 (bottom). A picture
may have any centre, scale and size. Layers are painted from back to front, and each covers everything below its upper
edge. So every column shows them in the order of `palette.LAYERS`, which is the ground truth of the layout measure.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .detail import DETAIL, Points
from .noise import fade, fractal, random_at, ridged, texture, value_noise
from .palette import HOURS, LAYERS, SEASONS, Palette, mix, palette
from .scatter import spots

SKY, MOUNTAINS, FOREST, LAKE, MEADOW = range(len(LAYERS))
WINDOW = 128  # pixels; side of a native window of the model, and height of the scene at zoom 1
CLOUDY = 0.3  # cover from which a pixel is a cloud
SUN_SPACING = 4.0  # scene heights; one sun or moon in a 2 x 8 window panorama


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The parameters of one world; equal parameters give equal pixels."""

    seed: int
    season: str = "summer"
    hour: str = "day"
    mountains: bool = True
    lake: bool = True
    clouds: bool = True
    lift: float = 0.0  # moves all layers below the sky up, in scene heights

    def __post_init__(self) -> None:
        palette(self.season, self.hour)  # refuses unknown words
        if not -0.2 <= self.lift <= 0.2:
            raise ValueError(f"lift: must lie in -0.2..0.2 scene heights, got {self.lift}.")


class Render(NamedTuple):
    """A picture and its ground truth."""

    image: np.ndarray  # (H, W, 3) float32 in [0, 1]
    layers: np.ndarray  # (H, W) uint8, index into `palette.LAYERS`
    things: np.ndarray  # (H, W) uint8, 0 or 1 + index into `palette.THINGS` of what is seen on the layer there


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene of the training set: all palettes have the same probability, features their own."""
    return Scene(
        seed=int(rng.integers(2**31)),
        season=str(rng.choice(SEASONS)),
        hour=str(rng.choice(HOURS)),
        mountains=bool(rng.random() < 0.8),
        lake=bool(rng.random() < 0.55),
        clouds=bool(rng.random() < 0.6),
        lift=float(rng.uniform(-0.1, 0.1)),
    )


class Canvas:
    """A picture that is being painted: its pixels in world coordinates, colours, layers.

    Raises:
        ValueError: a height or width below 1, or a zoom that is not above 0.
    """

    def __init__(self, height: int, width: int, zoom: float, centre: tuple[float, float]) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"height and width: must be at least 1 pixel, got {height} x {width}.")
        if not zoom > 0:
            raise ValueError(f"zoom: must be positive, got {zoom}; 1 shows the whole scene in 128 rows.")
        self.pixel = 1.0 / (WINDOW * zoom)  # scene heights
        cx, cy = centre
        # In float64: far to the right, pixels of a close-up are closer than float32 resolves.
        self.x = ((np.arange(width, dtype=np.float64) - (width - 1) / 2) * self.pixel + cx)[None, :]
        self.y = ((np.arange(height, dtype=np.float64) - (height - 1) / 2) * self.pixel + cy)[:, None]
        self.image = np.zeros((height, width, 3), dtype=np.float32)
        self.layers = np.zeros((height, width), dtype=np.uint8)
        self.side, self.depth, self.cloud = np.zeros((3, height, width), dtype=np.float32)

    def above(self, y: float) -> "Canvas":
        """The rows above y of the world; painting them paints this picture."""
        part, rows = copy(self), slice(0, self.row_of(y))
        part.y, part.image, part.layers, part.cloud = (
            self.y[rows],
            self.image[rows],
            self.layers[rows],
            self.cloud[rows],
        )
        return part

    def row_of(self, y: float) -> int:
        """The first row at or below y of the world."""
        return int(np.searchsorted(self.y[:, 0], y))

    def paint(self, sheet: "_Sheet", rows: slice) -> None:
        """Cover everything below the edge of the sheet. The edge is antialiased: cover rises over one pixel."""
        depth = self.y[rows] - sheet.edge
        colour = sheet.colour(self.y[rows], depth)
        cover = np.clip(depth / self.pixel + 0.5, 0, 1).astype(np.float32)[..., None]
        self.image[rows] += cover * (colour - self.image[rows])
        inside = depth >= 0
        self.layers[rows][inside] = sheet.layer
        self.side[rows] = np.where(inside, self.x - sheet.middle, self.side[rows])
        self.depth[rows] = np.where(inside, self.y[rows] - sheet.tip, self.depth[rows])


class _Sheet(NamedTuple):
    """One row of things, which hides everything below its upper edge; arrays (1, W)."""

    layer: int
    edge: np.ndarray
    colour: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of y (h, 1) and depth below the edge (h, W)
    middle: np.ndarray | float = 0.0  # x of the thing at a column, for its details
    tip: np.ndarray | float = 0.0  # y of its tip


def paint_sky(canvas: Canvas, scene: Any, colours: Palette) -> None:
    """Fill a canvas with the sky over a scene of any world: its seed, hour, clouds and lift are what counts."""
    height = np.clip(canvas.y / (0.46 - scene.lift), 0, 1) ** 1.3
    canvas.image[:] = mix(colours.zenith, colours.horizon, height + np.zeros_like(canvas.x))
    if scene.hour == "night":
        star = 240.0  # lattice points per scene height
        twinkle = value_noise(canvas.x * star, canvas.y * star, scene.seed + 90)
        canvas.image += np.clip(twinkle - 0.93, 0, 1)[..., None] * 7 * (1 - height[..., None]) * 0.8
        for apart in (0.02, 0.004, 0.001):  # stars too faint to be seen from afar
            if clear := fade(0.15 * apart, canvas.pixel):
                faint = spots(canvas.x + 0 * canvas.y, canvas.y + 0 * canvas.x, apart, scene.seed + 92, share=0.6)
                glow = np.exp(-3 * np.minimum(faint.radius, 9)) * (1.3 - faint.tone)
                canvas.image += np.float32(clear) * glow[..., None] * (1 - height[..., None])
    number = np.floor(canvas.x / SUN_SPACING)
    sun_x = (number + 0.15 + 0.7 * random_at(number, scene.seed + 91)) * SUN_SPACING
    sun_y = (0.12 if scene.hour in ("day", "night") else 0.26) - scene.lift * 0.5
    away = np.sqrt((canvas.x - sun_x) ** 2 + (canvas.y - sun_y) ** 2)
    glow = np.exp(-away / 0.11) * (0.25 if scene.hour == "night" else 0.6)
    canvas.image[:] = mix(canvas.image, colours.disc, glow)
    canvas.image[:] = mix(canvas.image, colours.disc, np.clip((0.042 - away) / canvas.pixel + 0.5, 0, 1))
    if scene.clouds:
        puff = fractal(canvas.x, canvas.y * 2.6, 2.2, canvas.pixel, scene.seed + 100, most=6, gain=0.55)
        cover = np.clip((puff - 0.12) * 2.6, 0, 1) * np.clip(1.15 - canvas.y / (0.5 - scene.lift), 0, 1)
        lit = colours.horizon * 0.5 + colours.light * 0.5
        shade = mix(lit, lit * 0.82, np.clip(puff * 1.5 - 0.3, 0, 1))
        canvas.image[:] = mix(canvas.image, shade, cover * 0.85)
        canvas.cloud[:] = cover


def _mountains(c: Canvas, s: Scene, p: Palette) -> Iterator[_Sheet]:
    ranges = 3
    for k in range(ranges):
        near = k / (ranges - 1)
        seed = s.seed + 200 + 20 * k
        tall = 0.20 - 0.06 * near
        crest = ridged(c.x, 1.3 + 0.7 * near, c.pixel, seed, most=11)
        edge = 0.43 + 0.05 * near - s.lift - tall * (2.1 * crest - 0.75)

        def colour(y: np.ndarray, depth: np.ndarray, k: int = k, near: float = near, seed: int = seed) -> np.ndarray:
            facets = fractal(c.x + depth * 0.7, depth * 0.6 + k, 9.0, c.pixel, seed + 10, most=7, gain=0.6)
            rock = p.mountains * (1 + 0.42 * facets[..., None])
            snow = np.clip((0.045 - depth + 0.05 * facets) * 30, 0, 1) * (0.55 if s.season != "winter" else 0.75)
            rock = mix(rock, p.light * np.float32(0.95), snow * (0.5 + 0.5 * near))
            haze = 0.45 * (1 - near) + np.clip(depth * 0.9, 0, 0.2)
            return mix(rock, p.horizon * 0.75 + p.mountains * 0.25, haze)

        yield _Sheet(MOUNTAINS, edge, colour)


class _Firs(NamedTuple):
    """A row of firs: the one in front at each column; arrays (1, W)."""

    edge: np.ndarray  # its upper edge
    tone: np.ndarray  # its brightness
    trunk: np.ndarray  # x
    tip: np.ndarray  # y


def _firs(c: Canvas, base: np.ndarray, wide: float, tall: float, seed: int) -> _Firs:
    edge, tone, front, tip = base, np.zeros_like(base), c.x, base
    number = np.floor(c.x / wide)
    for neighbour in (-1, 0, 1):  # trees are wider than their cell
        n = number + neighbour
        trunk = (n + 0.3 + 0.4 * random_at(n, seed)) * wide
        size = 0.55 + 0.45 * random_at(n, seed + 1)
        off = np.abs(c.x - trunk) / (0.75 * wide * size)
        jag = 0.10 * (np.abs((off * 6) % 1 - 0.5) * 2 - 0.5)  # boughs
        crown = tall * size * np.clip(1 - off + jag * (off > 0.1), 0, 1)
        in_front = base - crown < edge
        edge = np.where(in_front, base - crown, edge)
        tone = np.where(in_front, random_at(n, seed + 2) - 0.5, tone)
        front = np.where(in_front, trunk, front)
        tip = np.where(in_front, base - tall * size, tip)
    return _Firs(edge - 0.006 * texture(c.x, 0.5, 160.0, c.pixel, seed + 3), tone, front, tip)


def _forest(c: Canvas, s: Scene, p: Palette) -> Iterator[_Sheet]:
    rows_of_trees = 8
    roll = 0.08 * fractal(c.x, 0.3, 0.9, c.pixel, s.seed + 300, most=3)
    for k in range(rows_of_trees):
        near = k / (rows_of_trees - 1)
        seed = s.seed + 320 + 10 * k
        base = 0.50 + 0.17 * near - s.lift + roll * (1 - 0.6 * near) + 0.012 * fractal(c.x, 0.3, 3.0, c.pixel, seed)
        firs = _firs(c, base, 0.022 + 0.020 * near, 0.050 + 0.035 * near, seed)

        def colour(
            y: np.ndarray, depth: np.ndarray, near: float = near, seed: int = seed, tone: np.ndarray = firs.tone
        ) -> np.ndarray:
            needles = fractal(c.x, y * 0.7, 40.0, c.pixel, seed + 5, most=4, gain=0.7)
            bright = 0.86 + 0.18 * near + 0.40 * tone + 0.22 * needles
            lit = p.forest * (bright * (1.12 - 0.35 * np.clip(depth / 0.06, 0, 1)))[..., None]
            return mix(lit, p.horizon * 0.5 + p.forest * 0.5, 0.28 * (1 - near))

        yield _Sheet(FOREST, firs.edge, colour, firs.trunk, firs.tip)


def _lake(c: Canvas, s: Scene, p: Palette) -> Iterator[_Sheet]:
    edge = 0.66 - s.lift + 0.018 * fractal(c.x, 0.3, 1.1, c.pixel, s.seed + 500) + np.zeros_like(c.x)

    def colour(y: np.ndarray, depth: np.ndarray) -> np.ndarray:
        ripple = fractal(c.x * 0.16, y, 34.0, c.pixel, s.seed + 520, most=5, gain=0.65)
        mirror = np.clip(1 - depth / 0.05 + 0.7 * ripple, 0, 1) * 0.5  # the far shore in the water
        water = mix(p.lake, p.forest * 0.7, mirror)
        return mix(water, p.lake * 0.6 + p.horizon * 0.4, np.clip(ripple * 0.9 - 0.25, 0, 0.55))

    yield _Sheet(LAKE, edge, colour)


def _meadow(c: Canvas, s: Scene, p: Palette) -> Iterator[_Sheet]:
    tufts = 7
    swell = 0.09 * fractal(c.x, 0.3, 0.8, c.pixel, s.seed + 600, most=3)
    first = 0.78 if s.lake else 0.68
    for k in range(tufts):
        near = k / (tufts - 1)
        seed = s.seed + 620 + 10 * k
        base = first + (1.02 - first) * near**1.3 - s.lift * (1 - near) + swell * (1 - near)
        blades = 0.006 + 0.030 * near
        edge = base - blades * ridged(c.x, 14.0 / (0.6 + near), c.pixel, seed, most=4) + np.zeros_like(c.x)
        edge = edge - 0.004 * texture(c.x, 0.5, 200.0, c.pixel, seed + 3)

        def colour(y: np.ndarray, depth: np.ndarray, near: float = near, seed: int = seed) -> np.ndarray:
            # Rotated by 30 degrees: value noise along the axes looks like bricks.
            turned, fine = (0.9 * c.x + 0.6 * y, y - 0.4 * c.x), 17.0 / (0.6 + near)
            grass = fractal(*turned, fine, c.pixel, seed + 4, most=6, gain=0.62)
            bright = 1.08 - 0.22 * near + 0.24 * grass + 0.10 * np.clip(1 - depth / 0.03, 0, 1)
            buds = value_noise((c.x + 0.4 * y) * 62 / (0.7 + near), (y - 0.3 * c.x) * 80 / (0.7 + near), seed + 9)
            return mix(p.meadow * bright[..., None], p.accent, np.clip((buds - 0.87) * 12, 0, 0.8))

        yield _Sheet(MEADOW, edge, colour)


def _visible_rows(c: Canvas, sheets: list[_Sheet]) -> list[slice]:
    """The rows in which each sheet may be visible: from its edge to where the sheets in front hide every column."""
    rows, front = [], np.full_like(c.x, np.inf)
    for sheet in reversed(sheets):
        last = c.row_of(float(front.max()) + 2 * c.pixel)
        rows.append(slice(c.row_of(float(sheet.edge.min()) - 2 * c.pixel), last))
        front = np.minimum(front, sheet.edge)
    return rows[::-1]


def _add_detail(c: Canvas, s: Scene, p: Palette) -> None:
    x, y = np.broadcast_arrays(c.x, c.y)
    for layer, detail in enumerate(DETAIL):
        seen = c.layers == layer
        if seen.any():
            at = Points(
                x=x[seen], y=y[seen], side=c.side[seen], depth=c.depth[seen], cloud=c.cloud[seen],
                pixel=c.pixel, seed=s.seed + 1000 + 100 * layer,
            )  # fmt: skip
            c.image[seen] = detail(at, c.image[seen], p, s.season == "winter")


def render(
    scene: Scene, height: int, width: int, *, zoom: float = 1.0, centre: tuple[float, float] = (0.0, 0.5)
) -> Render:
    """Draw `height` x `width` pixels of a scene, with the world coordinates `centre` (x, y) in the middle.

    A `zoom` of 1 shows the whole scene in 128 rows, 2 in 256.

    Raises:
        ValueError: a height or width below 1, or a zoom that is not above 0.
    """
    c, p = Canvas(height, width, zoom, centre), palette(scene.season, scene.hour)
    paint_sky(c, scene, p)
    shown = ((_mountains, scene.mountains), (_forest, True), (_lake, scene.lake), (_meadow, True))
    sheets = [sheet for layer, there in shown if there for sheet in layer(c, scene, p)]
    for sheet, rows in zip(sheets, _visible_rows(c, sheets), strict=True):
        if rows.start < rows.stop:
            c.paint(sheet, rows)
    _add_detail(c, scene, p)
    clouds = (c.layers == SKY) & (c.cloud > CLOUDY)
    return Render(np.clip(c.image, 0, 1), c.layers, clouds.astype(np.uint8))

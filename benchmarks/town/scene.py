"""Streets drawn by a procedure, so that their true layout, palette and scale are known.

World coordinates are those of `demo.world`: in scene heights, x to the right without end, y from 0 (top of the scene)
to 1 (bottom). Every column shows the layers in the order of `palette.LAYERS`.
"""

from dataclasses import dataclass

import numpy as np

from demo.detail import Points
from demo.detail import sky as sky_detail
from demo.palette import HOURS
from demo.world import CLOUDY, Canvas, Render, paint_sky

from .houses import House, houses
from .openings import paint_door, paint_windows, wall_grid
from .palette import TOWNS, TownPalette, palette
from .roofs import paint_roof
from .shapes import Surface, soft_edge, span
from .street import street_colours
from .walls import paint_wall

SKY, ROOFS, WALLS, STREET = range(4)
GROUND = 0.82  # y of the foot of the houses
FINE = 4  # places in a pixel at which the upper edges of roofs and walls are looked up


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The parameters of one street; equal parameters give equal pixels."""

    seed: int
    town: str = "harbour"
    hour: str = "day"
    clouds: bool = True
    lift: float = 0.0  # moves the houses and the street up, in scene heights

    def __post_init__(self) -> None:
        palette(self.town, self.hour)  # refuses unknown words
        if not -0.1 <= self.lift <= 0.1:
            raise ValueError(f"lift: must lie in -0.1..0.1 scene heights, got {self.lift}.")


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene of the training set: all palettes have the same probability."""
    return Scene(
        seed=int(rng.integers(2**31)),
        town=str(rng.choice(TOWNS)),
        hour=str(rng.choice(HOURS)),
        clouds=bool(rng.random() < 0.6),
        lift=float(rng.uniform(-0.06, 0.06)),
    )


def render(
    scene: Scene, height: int, width: int, *, zoom: float = 1.0, centre: tuple[float, float] = (0.0, 0.5)
) -> Render:
    """Draw `height` x `width` pixels of a street, with the world coordinates `centre` (x, y) in the middle.

    A `zoom` of 1 shows the whole scene in 128 rows, 2 in 256.

    Raises:
        ValueError: a height or width below 1, or a zoom that is not above 0.
    """
    c, p = Canvas(height, width, zoom, centre), palette(scene.town, scene.hour)
    ground = GROUND - scene.lift
    left, right = c.x[0, 0] - c.pixel / 2, c.x[0, -1] + c.pixel / 2
    shown = list(houses(left, right, scene.town, scene.seed))
    _paint_sky(c.above(max(ground - house.eaves for house in shown) + c.pixel), scene, p)
    things = (c.cloud > CLOUDY).astype(np.uint8)
    front = np.zeros_like(c.image)
    rows = slice(0, c.row_of(ground + c.pixel))
    for house in shown:
        columns = slice(*np.searchsorted(c.x[0], (house.left - c.pixel / 2, house.left + house.width + c.pixel / 2)))
        _paint_house(c, front, things, house, (rows, columns), ground, p)
    c.image[rows] = front[rows]
    below = slice(c.row_of(ground - c.pixel), height)
    if below.start < height:
        depth = c.y[below] - ground
        street = street_colours(c.x, depth, c.pixel, scene.seed + 500, p)
        c.image[below] += soft_edge(depth, c.pixel)[..., None] * (street - c.image[below])
        c.layers[below][np.broadcast_to(depth >= 0, (len(depth), width))] = STREET
    things[(c.layers != SKY) & (things == 1)] = 0
    return Render(np.clip(c.image, 0, 1), c.layers, things)


def _paint_sky(c: Canvas, scene: Scene, p: TownPalette) -> None:
    if not len(c.y):
        return
    paint_sky(c, scene, p.sky)
    x, y = np.broadcast_arrays(c.x, c.y)
    at = Points(
        x=x.ravel(), y=y.ravel(), side=x.ravel(), depth=x.ravel(), cloud=c.cloud.ravel(),
        pixel=c.pixel, seed=scene.seed + 1000,
    )  # fmt: skip
    c.image[:] = sky_detail(at, c.image.reshape(-1, 3), p.sky, False).reshape(c.image.shape)


def _paint_house(
    c: Canvas,
    front: np.ndarray,
    things: np.ndarray,
    house: House,
    part: tuple[slice, slice],
    ground: float,
    p: TownPalette,
) -> None:
    """Add the colours of a house to `front`, as much as it covers of each column; a border may lie within one."""
    rows, columns = part
    y, x = ground - c.y[rows], c.x[:, columns] - house.left
    if not x.size or not y.size:
        return
    share = span(x, 0.0, house.width, c.pixel)
    x = np.clip(x, 1e-9, house.width - 1e-9)
    offsets = ((np.arange(FINE) + 0.5) / FINE - 0.5) * c.pixel
    fine = np.clip(x + offsets[:, None], 0, house.width * (1 - 1e-9))  # (FINE, w)
    colour, mine = c.image[part].copy(), things[part].copy()
    layers = np.zeros(mine.shape, np.uint8)
    covers = ((ROOFS, house.roof_top, paint_roof), (WALLS, house.wall_top, _paint_front))
    for layer, top_of, paint in covers:
        tops = top_of(fine)
        seen = slice(int((y[:, 0] > tops.max() + c.pixel).sum()), len(y))
        if layer == ROOFS:
            seen = slice(seen.start, int((y[:, 0] > house.wall_top(fine).min() - c.pixel).sum()))
        if seen.start >= seen.stop:
            continue
        cover = np.mean([soft_edge(top - y[seen], c.pixel) for top in tops], axis=0)
        painted, said = np.zeros((*cover.shape, 3), np.float32), np.zeros(cover.shape, np.uint8)
        surface = Surface(
            x=x.astype(np.float32), y=y[seen].astype(np.float32), colour=painted, things=said,
            pixel=c.pixel, seed=house.seed % 10**6,
        )  # fmt: skip
        paint(surface, house, p)
        colour[seen] += cover[..., None] * (painted - colour[seen])
        inside = top_of(x) >= y[seen]
        layers[seen][inside], mine[seen][inside] = layer, said[inside]
    front[part] += share[..., None] * colour
    owned = slice(columns.start + int((c.x[0, columns] < house.left).sum()), columns.start + int((c.x[0, columns] < house.left + house.width).sum()))
    inner = slice(owned.start - columns.start, owned.stop - columns.start)
    c.layers[rows, owned], things[rows, owned] = layers[:, inner], mine[:, inner]


def _paint_front(s: Surface, house: House, p: TownPalette) -> None:
    paint_wall(s, house, p)
    paint_windows(s, wall_grid(s, house), house, p)
    paint_door(s, house, p)

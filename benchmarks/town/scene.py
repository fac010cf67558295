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
from .palette import LAYERS, TOWNS, TownPalette, palette
from .roofs import paint_roof
from .shapes import Surface, soft_edge, span
from .street import street_colours
from .walls import paint_wall

SKY, ROOFS, WALLS, STREET = range(len(LAYERS))
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
    c, p, ground = Canvas(height, width, zoom, centre), palette(scene.town, scene.hour), GROUND - scene.lift
    shown = list(houses(c.x[0, 0] - c.pixel, c.x[0, -1] + c.pixel, scene.town, scene.seed))
    _paint_sky(c.above(ground - min(house.eaves for house in shown) + c.pixel), scene, p)
    things = (c.cloud > CLOUDY).astype(np.uint8)
    houses_only = np.zeros_like(c.image)
    rows = slice(0, c.row_of(ground + c.pixel))
    for house in shown:
        _add_house(_Part(c, houses_only, things, rows, house), ground, p)
    c.image[rows] = houses_only[rows]
    rows = slice(c.row_of(ground - c.pixel), height)
    depth = c.y[rows] - ground
    if len(depth):
        street = street_colours(c.x, depth, c.pixel, scene.seed + 500, p)
        c.image[rows] += soft_edge(depth, c.pixel)[..., None] * (street - c.image[rows])
        c.layers[rows][depth[:, 0] >= 0] = STREET
        things[rows][depth[:, 0] >= 0] = 0
    return Render(np.clip(c.image, 0, 1), c.layers, things)


def _paint_sky(c: Canvas, scene: Scene, p: TownPalette) -> None:
    if len(c.y):
        paint_sky(c, scene, p.sky)
        x, y = (np.broadcast_to(one, c.layers.shape).ravel() for one in (c.x, c.y))
        at = Points(x=x, y=y, side=x, depth=y, cloud=c.cloud.ravel(), pixel=c.pixel, seed=scene.seed + 1000)
        c.image[:] = sky_detail(at, c.image.reshape(-1, 3), p.sky, False).reshape(c.image.shape)


class _Part:
    """The part of a picture in which a house stands; columns at its sides are its own only in part."""

    def __init__(self, c: Canvas, out: np.ndarray, things: np.ndarray, rows: slice, house: House) -> None:
        right = house.left + house.width
        first, last = np.searchsorted(c.x[0], (house.left - c.pixel / 2, right + c.pixel / 2))
        self.at = rows, slice(first, last)
        self.share = span(c.x[:, first:last], house.left, right, c.pixel)[..., None]  # of each column
        owned = slice(*np.searchsorted(c.x[0], (house.left, right)))  # columns with their middle in the house
        self.truth_at, self.inner = (rows, owned), slice(owned.start - first, owned.stop - first)
        self.x, self.y = c.x[:, first:last] - house.left, c.y[rows]
        self.house, self.pixel = house, c.pixel
        self.out, self.whole = out[self.at], (c.layers[self.truth_at], things[self.truth_at])
        self.image, self.layers, self.things = (a[self.at].copy() for a in (c.image, c.layers, things))


def _add_house(part: _Part, ground: float, p: TownPalette) -> None:
    if not part.image.size:
        return
    house, px, last = part.house, part.pixel, part.house.width * (1 - 1e-7)
    up, x = ground - part.y, np.clip(part.x, 0, last)
    offsets = ((np.arange(FINE)[:, None] + 0.5) / FINE - 0.5) * px
    fine = np.clip(part.x + offsets, 0, last)
    roof_foot = float(house.wall_top(fine).min()) - px
    for layer, top_of, foot, paint in (
        (ROOFS, house.roof_top, roof_foot, paint_roof),
        (WALLS, house.wall_top, -np.inf, paint_wall),
    ):
        tops = top_of(fine)
        seen = slice(int((up > tops.max() + px).sum()), int((up > foot).sum()))
        if seen.start >= seen.stop:
            continue
        y = up[seen]
        cover = np.mean([soft_edge(top - y, px) for top in tops], axis=0)[..., None]
        s = Surface(
            x=x.astype(np.float32), y=y.astype(np.float32), colour=np.zeros((*cover.shape[:2], 3), np.float32),
            things=np.zeros(cover.shape[:2], np.uint8), pixel=px, seed=house.seed,
        )  # fmt: skip
        paint(s, house, p)
        part.image[seen] += cover * (s.colour - part.image[seen])
        inside = top_of(x) >= y
        part.layers[seen][inside] = layer
        part.things[seen][inside] = s.things[inside]
    part.out[:] += part.share * part.image
    for whole, mine in zip(part.whole, (part.layers, part.things), strict=True):
        whole[:] = mine[:, part.inner]

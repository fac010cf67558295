"""Training pictures: whole scenes and close-ups of scenes, with a caption for every window.

Most windows show a whole scene, or a part of one at twice the scale. A panorama needs both: its coarse canvas is a row
of whole scenes, and its windows are parts. Without a zoom word in the prompt, the model may put a whole scene into
every window. This is the fault that the joint methods repair. A zoom needs the other windows: close-ups of single
features at 4 to 128 times the scale.
"""

from typing import Any, NamedTuple

import numpy as np

from .autoencoder import PIXELS_PER_CELL
from .vocabulary import ZOOMS
from .world import WINDOW
from .worlds import LANDSCAPES, World

BANDS = {zoom: (0.85 * 2**k, 1.2 * 2**k) for k, zoom in enumerate(ZOOMS)}  # ranges of the zoom, without overlap
BANDS["far"] = (1.0, 1.15)  # a window cannot show more than the scene
SHARES = dict(zip(ZOOMS, (0.36, 0.22, 0.08, 0.08, 0.065, 0.065, 0.065, 0.065), strict=True))  # of the pictures
CLOSE_UP = 3.0  # zoom from which a picture is a close-up of one layer
VISIBLE = 0.06  # share of a window from which a layer may be in the caption
MAIN = 0.5  # share from which it is always in the caption of a close-up


class Picture(NamedTuple):
    """A rendered part of a scene, larger than a window."""

    image: np.ndarray  # (H, W, 3) uint8, H and W multiples of PIXELS_PER_CELL and at least WINDOW
    layers: np.ndarray  # (H / PIXELS_PER_CELL, W / PIXELS_PER_CELL) uint8, the layer at each cell's centre
    things: np.ndarray  # the same of what is seen there, as in `Render`
    scene: Any  # of the world
    zoom: str


def draw(seed: int, zoom_word: str | None = None, world: World = LANDSCAPES) -> Picture:
    """Training picture number `seed`; its zoom is drawn by SHARES and BANDS, or by the band of a zoom word alone."""
    rng = np.random.default_rng(seed)
    scene = world.random_scene(rng)
    band = str(rng.choice(ZOOMS, p=[SHARES[z] for z in ZOOMS]))
    band = zoom_word or band
    low, high = BANDS[band]
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    whole = int(np.ceil(WINDOW * zoom / PIXELS_PER_CELL)) * PIXELS_PER_CELL
    height = min(whole, 2 * WINDOW)
    width = 3 * WINDOW if zoom < 3 else 2 * WINDOW
    x, y = float(rng.uniform(0, 200)), 0.5
    if zoom > CLOSE_UP:
        x, y = _place(scene, x, rng, world)
    elif height < whole:
        half = height / (2 * WINDOW * zoom)
        y = float(rng.uniform(half, 1 - half))
    image, *truth = world.render(scene, height, width, zoom=zoom, centre=(x, y))
    if rng.random() < 0.5:
        image, *truth = (plane[:, ::-1] for plane in (image, *truth))
    layers, things = (
        plane[PIXELS_PER_CELL // 2 :: PIXELS_PER_CELL, PIXELS_PER_CELL // 2 :: PIXELS_PER_CELL].copy()
        for plane in truth
    )
    return Picture((image * 255 + 0.5).astype(np.uint8), layers, things, scene, band)


def _place(scene: Any, x: float, rng: np.random.Generator, world: World) -> tuple[float, float]:
    """The centre of a close-up: a point near x, on a layer drawn from those that are there."""
    layers = world.render(scene, WINDOW, 8, centre=(x, 0.5)).layers
    there = np.unique(layers)
    share = np.array([world.close_ups[i] for i in there])
    rows, columns = np.nonzero(layers == rng.choice(there, p=share / share.sum()))
    k = rng.integers(len(rows))
    return x + (columns[k] - 3.5) / WINDOW, (rows[k] + 0.5) / WINDOW


def random_window(picture: Picture, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns, in cells, of a native window at a random place of `picture`."""
    side = WINDOW // PIXELS_PER_CELL
    top, left = (int(rng.integers(cells - side + 1)) for cells in picture.layers.shape)
    return slice(top, top + side), slice(left, left + side)


def pixels(picture: Picture, window: tuple[slice, slice]) -> np.ndarray:
    """(H, W, 3) uint8: what a window of cells of `picture` shows."""
    rows, columns = (slice(side.start * PIXELS_PER_CELL, side.stop * PIXELS_PER_CELL) for side in window)
    return picture.image[rows, columns]


def caption(
    picture: Picture, window: tuple[slice, slice], rng: np.random.Generator, world: World = LANDSCAPES
) -> list[str]:
    """The caption of a window of cells of `picture`. Words are dropped at random, sometimes all.

    So the model learns prompts without them: without a season the palette is free, without a zoom word whole scenes and
    parts are possible. In a close-up the main layer is never dropped and the zoom word rarely, so that only prompts for
    a close-up lead to one.
    """
    if rng.random() < 0.12:
        return []
    layers = picture.layers[window]
    share = np.bincount(layers.ravel(), minlength=len(world.layers)) / layers.size
    close_up = BANDS[picture.zoom][1] > CLOSE_UP
    words = [getattr(picture.scene, field) for field in world.palette if rng.random() < 0.87]
    if rng.random() < (0.9 if close_up else 0.5):
        words.append(picture.zoom)
    seen = [i for i in range(len(world.layers)) if share[i] > VISIBLE]
    words += [world.layers[i] for i in seen if rng.random() < (1.0 if close_up and share[i] > MAIN else 0.4)]
    for number, thing in enumerate(world.things, start=1):
        much = (picture.things[window] == number).mean()
        if much > VISIBLE and rng.random() < (1.0 if close_up and much > MAIN else 0.4):
            words.append(thing)
    return words

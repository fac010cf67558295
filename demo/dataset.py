"""Training pictures: whole scenes and close crops of scenes, with a caption for every window.

Half of the windows show a whole scene and half a part of one at twice the scale or more, because both are what a
panorama needs: its low-resolution version is a row of whole scenes, its full-resolution windows are parts. A prompt
without a zoom word then leaves the model free to put a whole scene into every window, which is how independent
windows go wrong and what the joint methods are there to repair.
"""

from typing import NamedTuple

import numpy as np

from .palette import LAYERS
from .vocabulary import ZOOMS
from .world import FOREST, LAKE, MEADOW, MOUNTAINS, SKY, WINDOW, Scene, random_scene, render

CELL = 8  # pixels per latent cell
BANDS = {"far": (1.0, 1.15), "wide": (1.7, 2.4), "near": (3.4, 4.8), "close": (6.8, 9.6)}  # zoom, log-uniform
SHARES = {"far": 0.5, "wide": 0.3, "near": 0.12, "close": 0.08}  # of the windows seen in training
FEATURE_OF_LAYER = {SKY: "sky", MOUNTAINS: "mountains", FOREST: "forest", LAKE: "lake", MEADOW: "meadow"}
VISIBLE = 0.06  # share of a window from which a layer is worth a word

assert tuple(BANDS) == ZOOMS


class Picture(NamedTuple):
    """A rendered stretch of a scene, larger than a window."""

    image: np.ndarray  # (H, W, 3) uint8, H and W multiples of CELL and at least WINDOW
    layers: np.ndarray  # (H / CELL, W / CELL) uint8, the layer at each cell's centre
    scene: Scene
    zoom: str


def draw(seed: int) -> Picture:
    """Training picture number `seed`; the zoom band follows SHARES."""
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    band = str(rng.choice(ZOOMS, p=[SHARES[z] for z in ZOOMS]))
    low, high = BANDS[band]
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    whole = int(np.ceil(WINDOW * zoom / CELL)) * CELL
    height = min(whole, 2 * WINDOW)
    width = 3 * WINDOW if zoom < 3 else 2 * WINDOW
    # A close-up looks anywhere in the scene, but at most a little below its last row.
    half = height / (2 * WINDOW * zoom)
    y = rng.uniform(half, 1 - half) if height < whole else 0.5
    image, layers = render(scene, height, width, zoom=zoom, centre=(float(rng.uniform(0, 200)), float(y)))
    if rng.random() < 0.5:
        image, layers = image[:, ::-1], layers[:, ::-1]
    cells = layers[CELL // 2 :: CELL, CELL // 2 :: CELL]
    return Picture((image * 255 + 0.5).astype(np.uint8), cells.copy(), scene, band)


def caption(picture: Picture, layers: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Words for a window of `picture` whose cells show `layers`; words are dropped at random, sometimes all.

    What is dropped is what a user may leave unsaid: without a season the palette is free, without a zoom word both
    whole scenes and parts are right.
    """
    if rng.random() < 0.12:
        return []
    share = np.bincount(layers.ravel(), minlength=len(LAYERS)) / layers.size
    words = [word for word in (picture.scene.season, picture.scene.hour) if rng.random() < 0.87]
    if rng.random() < 0.5:
        words.append(picture.zoom)
    seen = [FEATURE_OF_LAYER[i] for i in range(len(LAYERS)) if share[i] > VISIBLE]
    if picture.scene.clouds and share[SKY] > 2 * VISIBLE:
        seen.append("clouds")
    return words + [word for word in seen if rng.random() < 0.4]

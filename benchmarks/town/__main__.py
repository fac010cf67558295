"""Draw examples of the town: every kind of town, each at its own hour, and below them a zoom into a window.

python -m benchmarks.town
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from demo.palette import HOURS

from ..table import RESULTS
from .palette import TOWNS
from .scene import Scene, render

SIDE, LEVELS = 128, 8  # pixels of a level of the zoom; each shows the middle of the one before twice as large
MIDDLE = (1.742, 0.665)  # x and y of the world that the zoom goes to


def examples() -> np.ndarray:
    """(H, W, 3) in [0, 1]."""
    width = SIDE * LEVELS // 2
    streets = [
        render(Scene(seed=5 + i, town=town, hour=hour), 2 * SIDE, width, zoom=2.0, centre=(2.0, 0.5)).image
        for i, (town, hour) in enumerate(zip(TOWNS, np.roll(HOURS, -1), strict=True))
    ]
    zoom = [render(Scene(seed=6, town="northern"), SIDE, SIDE, zoom=2.0**k, centre=MIDDLE).image for k in range(LEVELS)]
    rows = (np.concatenate(row, axis=1) for row in (streets[:2], streets[2:], zoom))
    return np.concatenate([*rows])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "town.jpg")
    args = parser.parse_args()
    Image.fromarray((examples() * 255).round().astype(np.uint8)).save(args.out, quality=88)


if __name__ == "__main__":
    main()

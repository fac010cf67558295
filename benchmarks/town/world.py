"""The town as a `World`."""

from pathlib import Path

from demo.palette import HOURS
from demo.vocabulary import SILENT, SYNONYMS, ZOOMS, Vocabulary
from demo.worlds import Example, World

from .palette import LAYERS, THINGS, TOWNS
from .scene import ROOFS, SKY, STREET, WALLS, Scene, random_scene, render

_SYNONYMS = {
    "roof": "roofs", "tiles": "roofs", "slates": "roofs", "wall": "walls", "bricks": "walls", "plaster": "walls",
    "house": "walls", "houses": "walls", "road": "street", "pavement": "street", "cobbles": "street",
    "window": "windows", "panes": "windows", "curtains": "windows", "door": "doors",
}  # fmt: skip
TOWN = World(
    name="town",
    layers=LAYERS,
    things=THINGS,
    palette={"town": TOWNS, "hour": HOURS},
    vocabulary=Vocabulary(
        words=(*TOWNS, *HOURS, *ZOOMS, *LAYERS, *THINGS), synonyms=SYNONYMS | _SYNONYMS, silent=SILENT | {"town"}
    ),
    scene=Scene,
    random_scene=random_scene,
    render=render,
    close_ups={SKY: 0.13, ROOFS: 0.25, WALLS: 0.38, STREET: 0.24},
    examples=(
        Example({"clouds": True}, 1.0, 0.5),
        Example({"clouds": False}, 1.0, 0.5),
        Example({"clouds": True}, 2.0, 0.65),
        Example({"clouds": False}, 2.0, 0.35),
    ),
    weights=Path(__file__).parent / "weights",
    way_out="make them with `python -m benchmarks.town.train`",
)

"""What the model of each world is asked for."""

from typing import NamedTuple


class Prompts(NamedTuple):
    """Of one world."""

    scene: str  # whole scenes; the palette is open: every window may choose its own
    palettes: tuple[str, ...]  # the same scene in palettes that differ much
    strip: str  # whole scenes side by side
    zoomed: tuple[str, ...]  # palettes of zooms
    outermost: str  # what the first level of a zoom shows
    within: str  # what all others show
    middle: float  # y of the world that most zooms show in their middle, in scene heights


def _prompts(scene: str, palettes: tuple[str, ...], **zoom) -> Prompts:
    return Prompts(scene, tuple(f"{palette} {scene}" for palette in palettes), f"far {scene}", **zoom)


PROMPTS = {  # by the name of the world
    "landscapes": _prompts(
        "sky mountains forest meadow",
        ("summer day", "autumn dusk", "winter dawn"),
        zoomed=("autumn day", "summer dawn", "winter dusk"),
        outermost="sky forest meadow",
        within="forest",
        middle=0.55,
    ),
    "town": _prompts(
        "sky roofs walls street",
        ("harbour day", "old dusk", "northern dawn"),
        zoomed=("northern day", "old dawn", "southern dusk"),
        outermost="sky walls street",
        within="walls",
        middle=0.62,
    ),
}

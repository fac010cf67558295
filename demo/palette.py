"""Colours of the drawn world: the season sets the albedo of the ground, the hour sets sky and light."""

from typing import NamedTuple

import numpy as np

SEASONS = ("spring", "summer", "autumn", "winter")
HOURS = ("dawn", "day", "dusk", "night")
LAYERS = ("sky", "mountains", "forest", "lake", "meadow")  # true order of a column, from top to bottom
THINGS = ("clouds",)  # what the layers have in them

#                 mountains           forest              lake                meadow              flowers or straw
_ALBEDO = {
    "spring": ((0.50, 0.52, 0.64), (0.22, 0.50, 0.24), (0.10, 0.48, 0.56), (0.66, 0.82, 0.32), (0.95, 0.55, 0.75)),
    "summer": ((0.50, 0.47, 0.56), (0.08, 0.34, 0.14), (0.05, 0.40, 0.58), (0.62, 0.66, 0.18), (0.95, 0.85, 0.20)),
    "autumn": ((0.52, 0.46, 0.56), (0.72, 0.28, 0.06), (0.08, 0.33, 0.42), (0.84, 0.66, 0.28), (0.62, 0.20, 0.10)),
    "winter": ((0.58, 0.62, 0.76), (0.20, 0.28, 0.30), (0.40, 0.66, 0.74), (0.96, 0.97, 0.99), (0.70, 0.74, 0.80)),
}
#        sky at the zenith   sky at the horizon   light on the ground  sun or moon
_LIGHT = {
    "dawn": ((0.50, 0.50, 0.80), (1.00, 0.78, 0.74), (0.94, 0.80, 0.82), (1.00, 0.96, 0.80)),
    "day": ((0.25, 0.53, 0.92), (0.72, 0.87, 0.98), (1.00, 1.00, 0.98), (1.00, 1.00, 0.85)),
    "dusk": ((0.36, 0.20, 0.44), (1.00, 0.56, 0.22), (0.66, 0.46, 0.48), (1.00, 0.86, 0.50)),
    "night": ((0.02, 0.03, 0.14), (0.09, 0.13, 0.32), (0.30, 0.36, 0.52), (0.95, 0.95, 0.88)),
}


class Palette(NamedTuple):
    """RGB triples in [0, 1], each a float32 array of shape (3,)."""

    zenith: np.ndarray
    horizon: np.ndarray
    light: np.ndarray
    disc: np.ndarray
    mountains: np.ndarray
    forest: np.ndarray
    lake: np.ndarray
    meadow: np.ndarray
    accent: np.ndarray


def palette(season: str, hour: str) -> Palette:
    """The colours of a season at an hour. Ground colours are the albedo times the light of the hour."""
    if season not in SEASONS:
        raise ValueError(f"season: must be one of {', '.join(SEASONS)}, got {season!r}.")
    if hour not in HOURS:
        raise ValueError(f"hour: must be one of {', '.join(HOURS)}, got {hour!r}.")
    zenith, horizon, light, disc = (np.array(c, dtype=np.float32) for c in _LIGHT[hour])
    ground = (np.array(c, dtype=np.float32) * light for c in _ALBEDO[season])
    return Palette(zenith, horizon, light, disc, *ground)


def mix(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    """Colours (..., 3) between a (t = 0) and b (t = 1)."""
    return a + (b - a) * np.asarray(t, dtype=np.float32)[..., None]

"""Colours of the towns: the kind of town sets what walls, roofs and street are made of, the hour sets sky and light."""

from typing import NamedTuple

import numpy as np

from demo.palette import Palette
from demo.palette import palette as landscape_palette

TOWNS = ("harbour", "northern", "old", "southern")
LAYERS = ("sky", "roofs", "walls", "street")  # true order of a column, from top to bottom

THINGS = ("clouds", "windows", "doors")  # what the layers have in them

_WALLS = {
    "harbour": ((0.93, 0.74, 0.36), (0.90, 0.56, 0.38), (0.95, 0.86, 0.62), (0.86, 0.44, 0.30), (0.92, 0.68, 0.56)),
    "northern": ((0.66, 0.34, 0.25), (0.74, 0.43, 0.30), (0.60, 0.28, 0.22), (0.78, 0.54, 0.38)),
    "old": ((0.94, 0.89, 0.76), (0.93, 0.84, 0.62), (0.92, 0.78, 0.66), (0.86, 0.87, 0.72)),
    "southern": ((0.98, 0.96, 0.90), (0.98, 0.90, 0.72), (0.97, 0.82, 0.70), (0.95, 0.93, 0.82)),
}
#              roofs               trim, such as sills  beams and doors      pavement            road
_REST = {
    "harbour": ((0.30, 0.20, 0.23), (0.95, 0.94, 0.90), (0.26, 0.22, 0.20), (0.50, 0.53, 0.58), (0.36, 0.40, 0.47)),
    "northern": ((0.24, 0.29, 0.38), (0.88, 0.84, 0.74), (0.22, 0.20, 0.20), (0.56, 0.58, 0.56), (0.42, 0.45, 0.44)),
    "old": ((0.70, 0.33, 0.20), (0.86, 0.80, 0.70), (0.34, 0.22, 0.15), (0.54, 0.52, 0.52), (0.43, 0.42, 0.44)),
    "southern": ((0.82, 0.47, 0.28), (0.92, 0.88, 0.80), (0.42, 0.28, 0.18), (0.64, 0.60, 0.64), (0.53, 0.50, 0.56)),
}
_ACCENTS = ((0.12, 0.34, 0.40), (0.16, 0.38, 0.22), (0.50, 0.12, 0.12), (0.20, 0.26, 0.48), (0.62, 0.44, 0.24))
LIT = {"dawn": 0.25, "day": 0.0, "dusk": 0.5, "night": 0.6}  # shares of the windows with a lamp behind them


class TownPalette(NamedTuple):
    """RGB triples in [0, 1], each a float32 array of shape (3,), or rows of them; in the light of the hour."""

    sky: Palette  # its zenith, horizon, light and disc
    walls: np.ndarray  # (N, 3), one for a house
    roofs: np.ndarray
    trim: np.ndarray
    wood: np.ndarray
    pavement: np.ndarray
    road: np.ndarray
    accents: np.ndarray  # (N, 3), of doors and shutters
    glow: np.ndarray  # of a lit window
    lit: float  # share of the windows that are lit
    slates: bool  # whether roofs have flat slates or hollow tiles


def palette(town: str, hour: str) -> TownPalette:
    """The colours of a town at an hour. Surfaces have their albedo times the light of the hour."""
    if town not in TOWNS:
        raise ValueError(f"town: must be one of {', '.join(TOWNS)}, got {town!r}.")
    sky = landscape_palette("summer", hour)  # refuses an unknown hour; the sky is that of all seasons
    walls, accents = (np.array(colours, dtype=np.float32) * sky.light for colours in (_WALLS[town], _ACCENTS))
    rest = (np.array(colour, dtype=np.float32) * sky.light for colour in _REST[town])
    roofs, trim, wood, pavement, road = rest
    glow = np.array((1.0, 0.80, 0.42), dtype=np.float32)
    return TownPalette(sky, walls, roofs, trim, wood, pavement, road, accents, glow, LIT[hour], town == "northern")

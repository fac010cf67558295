"""Houses side by side without end: where each stands, and what chance decides about it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from demo.noise import random_at

WIDTH = 0.36  # scene heights, on average
PLINTH = 0.016  # height of the stones below the walls
MARGIN = 0.014  # between the sides of a house and its first window

# How often each kind of wall and of roof stands in a town.
WALLS = {
    "harbour": {"plaster": 0.75, "brick": 0.25},
    "northern": {"brick": 0.9, "plaster": 0.1},
    "old": {"timber": 0.75, "plaster": 0.25},
    "southern": {"plaster": 1.0},
}
ROOFS = {
    "harbour": {"steps": 0.35, "gable": 0.25, "pitched": 0.3, "mansard": 0.1},
    "northern": {"pitched": 0.35, "mansard": 0.3, "flat": 0.2, "steps": 0.15},
    "old": {"gable": 0.6, "pitched": 0.4},
    "southern": {"pitched": 0.55, "flat": 0.3, "gable": 0.15},
}
SHUTTERED = {"harbour": 0.15, "northern": 0.05, "old": 0.4, "southern": 0.85}


class Chimney(NamedTuple):
    """Two x from the left edge of the house, and two heights above the pavement."""

    left: float
    right: float
    foot: float
    top: float


@dataclass(frozen=True, kw_only=True)
class House:
    """One house; lengths are in scene heights, heights are above the pavement."""

    left: float
    width: float
    wall: str
    roof: str
    colour: int  # which of the colours of the palette
    tone: float  # brightness of the walls, about 1
    accent: int
    storeys: int
    storey: float
    bays: int  # windows from left to right
    window: tuple[float, float]  # width and height
    door: int  # its bay
    shutters: bool
    boxes: bool  # flowers in front of windows
    roof_height: float
    chimneys: tuple["Chimney", ...]
    seed: int

    @property
    def eaves(self) -> float:
        """Height of the walls, without a gable."""
        return PLINTH + self.storeys * self.storey + 0.014

    @property
    def bay(self) -> float:
        """From one window to the next."""
        return (self.width - 2 * MARGIN) / self.bays

    @property
    def strip(self) -> float:
        """Height of the roof above a gable, measured straight up."""
        return 0.016 if self.roof == "steps" else 0.020 * float(np.hypot(1, 2 * self.roof_height / self.width))

    def wall_top(self, x: np.ndarray) -> np.ndarray:
        """Height at which the wall ends and the roof begins, x from the left edge."""
        if self.roof == "gable":
            return self.eaves + self.roof_height * (1 - np.abs(2 * x / self.width - 1))
        if self.roof == "steps":
            steps = 4
            inwards = np.minimum(x, self.width - x) / (0.5 * self.width)
            return self.eaves + self.roof_height * np.minimum(np.floor(inwards * (steps + 0.5)), steps) / steps
        return self.eaves + 0 * x

    def ridge(self, x: np.ndarray) -> np.ndarray:
        """Height at which the roof ends, without chimneys."""
        if self.roof in ("gable", "steps"):
            return self.wall_top(x) + self.strip
        if self.roof == "mansard":
            return self.eaves + np.minimum(self.roof_height, 0.02 + 3.2 * np.minimum(x, self.width - x))
        return self.eaves + self.roof_height + 0 * x

    def roof_top(self, x: np.ndarray) -> np.ndarray:
        """Height at which the sky begins."""
        top = self.ridge(x)
        for left, right, _, height in self.chimneys:
            top = np.where((x >= left) & (x < right), np.maximum(top, height), top)
        return top


def border(number: int | np.ndarray, seed: int) -> np.ndarray:
    """World coordinate x of the left edge of a house."""
    return (number + 0.3 * (2 * random_at(np.asarray(number), seed + 1) - 1)) * WIDTH


def houses(low: float, high: float, town: str, seed: int) -> Iterator[House]:
    """Those that stand between two x, from left to right."""
    for number in range(int(np.floor(low / WIDTH)) - 1, int(np.floor(high / WIDTH)) + 2):
        left, right = float(border(number, seed)), float(border(number + 1, seed))
        if right > low and left < high:
            yield _house(number, left, right - left, town, seed)


def _house(number: int, left: float, width: float, town: str, seed: int) -> House:
    rng = np.random.default_rng((seed, number % 2**32))

    def one_of(shares: dict[str, float]) -> str:
        return str(rng.choice(list(shares), p=list(shares.values())))

    storey = float(rng.uniform(0.098, 0.128))
    storeys = max(2, round(float(rng.uniform(0.26, 0.42)) / storey))
    bays = max(1, round((width - 2 * MARGIN) / rng.uniform(0.075, 0.105)))
    wide = min(0.62 * (width - 2 * MARGIN) / bays, float(rng.uniform(0.040, 0.054)))
    tall = float(rng.uniform(0.56, 0.68)) * storey
    roof, high = one_of(ROOFS[town]), float(rng.uniform(0.07, 0.12))
    house = House(
        left=left,
        width=width,
        wall=one_of(WALLS[town]),
        roof=roof,
        colour=int(rng.integers(60)),
        tone=float(rng.uniform(0.92, 1.06)),
        accent=int(rng.integers(60)),
        storeys=storeys,
        storey=storey,
        bays=bays,
        window=(wide, tall),
        door=int(rng.integers(bays)),
        shutters=bool(rng.random() < SHUTTERED[town]),
        boxes=bool(rng.random() < 0.35),
        roof_height={"gable": min(0.5 * width, 0.15), "steps": min(0.45 * width, 0.13), "flat": 0.034}.get(roof, high),
        chimneys=(),
        seed=int(rng.integers(10**6)),
    )
    count = 0 if roof in ("flat", "steps") else int(rng.integers(3))
    wide = float(rng.uniform(0.024, 0.034))
    return replace(house, chimneys=tuple(_chimney(house, int(k), wide, rng) for k in rng.permutation(4)[:count]))


def _chimney(house: House, place: int, wide: float, rng: np.random.Generator) -> Chimney:
    """At one of four places on a roof."""
    middle = (0.2 + 0.2 * place) * house.width
    on_roof = float(house.ridge(np.array(middle)))
    return Chimney(middle - wide / 2, middle + wide / 2, on_roof - 0.024, on_roof + float(rng.uniform(0.03, 0.05)))

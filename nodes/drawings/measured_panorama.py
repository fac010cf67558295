"""The numbers of a panorama where they belong: beside its borders and edges, and in words that judge them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from ...core.canvas.windows import Size, Window, Wrap
from ...core.measure.coherence import pairs_apart
from ...core.measure.judgement import (
    PALETTE_DISTANCE,
    SEAM_ENERGY,
    STYLE_DISTANCE,
    WORST_SEAM,
    WRAP_ERROR,
    Usual,
)
from ...core.measure.panorama import Metrics
from ...core.measure.seams import window_borders, worst_place
from .metrics import Mark, Spot
from .words import count_of

SPOT = 3 / 8  # of a window: side of the part of a panorama that shows its worst seam


class _Border(NamedTuple):
    axis: Literal["y", "x"]
    mark: Mark

    @property
    def name(self) -> str:
        if self.mark.place == 0:
            return "where the edges meet"
        return f"at {'row' if self.axis == 'y' else 'column'} {self.mark.place:g}"


@dataclass(frozen=True, kw_only=True)
class MeasuredPanorama:
    """One panorama, or the mean of several of one size; canvas and windows in pixels."""

    canvas: Size
    windows: Sequence[Window]
    wrap: Wrap
    metrics: Metrics  # B is 1

    def rows(self) -> list[Mark]:
        """Borders between rows, and the upper and lower edge if they meet."""
        return self._marks("y", self.canvas.height)

    def columns(self) -> list[Mark]:
        """Borders between columns, and the left and right edge if they meet."""
        return self._marks("x", self.canvas.width)

    def worst_spot(self, image: Tensor) -> Spot | None:
        """The part of the panorama (C, H, W) where its worst seam is seen best; None if it has no borders."""
        worst = self._worst
        if worst is None:
            return None
        side, along = max(int(SPOT * min(self.windows[0].size)), 1), 1 if worst.axis == "y" else 0
        start = worst_place(image, worst.axis, int(worst.mark.place), side, self.wrap[along])
        return Spot(self._window(worst, start, side), f"{worst.mark.energy:.2f} {worst.name}")

    def lines(self) -> list[str]:
        """All that concerns this panorama, in words."""
        lines = [f"{self.canvas.width} x {self.canvas.height} px, {count_of(len(self.windows), 'window')}"]
        return [*lines, *self._seams(), *self._edges(), *self._coherence()]

    def _marks(self, axis: Literal["y", "x"], side: int) -> list[Mark]:
        marks = [border.mark for border in self._borders() if border.axis == axis]
        return [Mark(side, mark.energy) for mark in marks if mark.place == 0] + marks

    def _borders(self) -> Iterator[_Border]:
        """All borders, and the edges that meet, at 0."""
        metrics = self.metrics
        places = window_borders(self.windows, self.canvas)
        energies = iter(metrics.seams[0].tolist())
        if self.wrap.y:
            yield _Border("y", Mark(0, metrics.wrap_error_y.item()))
        for place in places.rows:
            yield _Border("y", Mark(place, next(energies)))
        if self.wrap.x:
            yield _Border("x", Mark(0, metrics.wrap_error_x.item()))
        for place in places.columns:
            yield _Border("x", Mark(place, next(energies)))

    @property
    def _worst(self) -> _Border | None:
        return max(self._borders(), key=lambda border: border.mark.energy, default=None)

    def _window(self, border: _Border, start: int, side: int) -> Window:
        """A square of that side with the border in its middle, where the canvas has room for it."""
        (wraps, length) = (self.wrap.y, self.canvas.height) if border.axis == "y" else (self.wrap.x, self.canvas.width)
        middle = int(border.mark.place) - side // 2
        across = middle % length if wraps else min(max(middle, 0), length - side)
        return Window(across, start, side, side) if border.axis == "y" else Window(start, across, side, side)

    def _seams(self) -> list[str]:
        borders = [border for border in self._borders() if border.mark.place]
        if not borders:
            return ["Seam energy 1: there are no borders of windows"]
        worst = max(borders, key=lambda border: border.mark.energy)
        return [
            f"Seams: {_judged(SEAM_ENERGY, self.metrics.seam_energy, 'seam energy')}",
            f"Worst seam: {_judged(WORST_SEAM, worst.mark.energy, where=worst.name)}",
        ]

    def _edges(self) -> list[str]:
        """Of edges that meet. Of others there is nothing to say."""
        metrics = self.metrics
        return [
            f"Edges, {edges}: {_judged(WRAP_ERROR, error, 'wrap error')}"
            for edges, error, meet in (
                ("left to right", metrics.wrap_error_x, self.wrap.x),
                ("top to bottom", metrics.wrap_error_y, self.wrap.y),
            )
            if meet
        ]

    def _coherence(self) -> list[str]:
        if not pairs_apart(self.windows, self.canvas, self.wrap):
            return ["Palette and style distance 0: there are no windows that do not touch"]
        return [
            _alike("palette", PALETTE_DISTANCE, self.metrics.palette_distance),
            _alike("style", STYLE_DISTANCE, self.metrics.style_distance),
        ]


def _judged(usual: Usual, measured: Tensor | float, name: str = "", where: str = "") -> str:
    number = float(measured)
    found = f"{name} {number:.2f} {where}".strip()
    return f"{usual.verdict(number)}, {found} (true pictures: up to {usual.most:.2f}, rarely {usual.all:.2f})"


def _alike(what: str, usual: Usual, measured: Tensor) -> str:
    """Several palettes are no fault if they were asked for."""
    number = measured.item()
    found = f"{what} distance {number:.3f} (true pictures of one place: up to {usual.most:.3f})"
    if usual.verdict(number) == "bad":
        return f"Several {what}s: {found}; bad, unless the prompts ask for it"
    return f"One {what}: {found}; good"

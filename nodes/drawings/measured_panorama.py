"""The numbers of a panorama where they belong: beside its borders and edges, and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...core.canvas.windows import Size, Window, Wrap
from ...core.measure.coherence import pairs_apart
from ...core.measure.panorama import Metrics
from ...core.measure.seams import window_borders
from .metrics import Mark
from .words import count_of


@dataclass(frozen=True, kw_only=True)
class MeasuredPanorama:
    """One panorama, or the mean of several of one size; canvas and windows in pixels."""

    canvas: Size
    windows: Sequence[Window]
    wrap: Wrap
    metrics: Metrics  # B is 1

    def rows(self) -> list[Mark]:
        """Borders between rows, and the upper and lower edge if they meet."""
        borders = window_borders(self.windows, self.canvas).rows
        energies = self.metrics.seams[0, : len(borders)]
        return _marks(borders, energies, self.canvas.height, self.metrics.wrap_error_y, self.wrap.y)

    def columns(self) -> list[Mark]:
        """Borders between columns, and the left and right edge if they meet."""
        rows, columns = window_borders(self.windows, self.canvas)
        energies = self.metrics.seams[0, len(rows) :]
        return _marks(columns, energies, self.canvas.width, self.metrics.wrap_error_x, self.wrap.x)

    def lines(self) -> list[str]:
        """All numbers in words."""
        metrics, wrap = self.metrics, self.wrap
        windows = count_of(len(self.windows), "window")
        lines = [f"{self.canvas.width} x {self.canvas.height} px, {windows}", self._seams()]
        for edges, error, meet in (
            ("left to right", metrics.wrap_error_x, wrap.x),
            ("top to bottom", metrics.wrap_error_y, wrap.y),
        ):
            lines.append(f"Wrap error {error.item():.2f} {edges}{'' if meet else ', which need not meet'}")
        if pairs_apart(self.windows, self.canvas, wrap):
            palette, style = metrics.palette_distance.item(), metrics.style_distance.item()
            lines.append(f"Palette distance {palette:.3f}, style distance {style:.3f}, of windows that do not touch")
        else:
            lines.append("Palette and style distance 0: there are no windows that do not touch")
        return lines

    def _seams(self) -> str:
        rows, columns = window_borders(self.windows, self.canvas)
        places = [f"row {row}" for row in rows] + [f"column {column}" for column in columns]
        if not places:
            return "Seam energy 1: there are no borders of windows"
        energy, place = max(zip(self.metrics.seams[0].tolist(), places, strict=True))
        return f"Seam energy {self.metrics.seam_energy.item():.2f}, at most {energy:.2f} ({place})"


def _marks(borders: Sequence[int], energies: Tensor, side: int, wrap_error: Tensor, wraps: bool) -> list[Mark]:
    edges = [Mark(place, wrap_error.item()) for place in (0, side)] if wraps else []
    return edges + [Mark(*mark) for mark in zip(borders, energies.tolist(), strict=True)]

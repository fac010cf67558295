"""Plots of what a table has: bars for methods, curves for settings, each number with its 95 % interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ..table import Value

matplotlib.rcParams |= {
    "svg.hashsalt": "joint diffusion",  # the same file for the same numbers
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}


class Point(NamedTuple):
    """One row of a table in one metric."""

    label: str
    value: Value
    x: float | None = None
    series: str = ""


def draw(path: Path, title: str, panels: Mapping[str, Sequence[Point]], axis: str = "", log: bool = False) -> None:
    """Write an SVG file with a panel for each metric, side by side.

    With an `axis`, the name of x, points are joined by the curve of their series; without one they get bars.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.1), squeeze=False, layout="constrained")
    for panel, (metric, points) in zip(axes[0], panels.items(), strict=True):
        if axis:
            _curves(panel, points)
            panel.set(xlabel=axis, ylabel=metric, xscale="log" if log else "linear")
        else:
            _bars(panel, points)
            panel.set(title=metric)
    if len({point.series for point in next(iter(panels.values()))}) > 1:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _curves(panel: Axes, points: Sequence[Point]) -> None:
    for series in dict.fromkeys(point.series for point in points):
        those = [(point.x, point.value) for point in points if point.series == series and point.x is not None]
        x, values = zip(*sorted(those, key=lambda pair: pair[0]), strict=True)
        y = [middle(value) for value in values]
        panel.errorbar(x, y, _reach(values), marker="o", markersize=3, capsize=2, label=series)
    panel.set_ylim(bottom=min(0, panel.get_ylim()[0]))


def _bars(panel: Axes, points: Sequence[Point]) -> None:
    values = [point.value for point in points]
    colours = [f"C{i}" for i in range(len(points))]
    panel.bar(range(len(points)), list(map(middle, values)), yerr=_reach(values), capsize=3, color=colours)
    panel.set_xticks(range(len(points)), [point.label for point in points], rotation=35, ha="right")


def middle(value: Value) -> float:
    """A number without its interval."""
    return value[0] if isinstance(value, tuple) else value


def _reach(values: Sequence[Value]) -> list[list[float]]:
    """How far intervals go below and above their values."""
    bounds = [value if isinstance(value, tuple) else (value, value, value) for value in values]
    return [[max(0.0, v - low) for v, low, _ in bounds], [max(0.0, high - v) for v, _, high in bounds]]

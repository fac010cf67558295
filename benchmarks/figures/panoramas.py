"""The figures of the papers as rows of panoramas: what is painted for each, what is measured and what is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from core.canvas.windows import Size
from core.correction import RollOff
from core.methods.multiscale import MultiScaleParams
from core.methods.syncdiffusion import GUIDANCES as SYNC_GUIDANCES
from core.methods.syncdiffusion import SyncParams
from core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from demo.panorama import METHODS
from demo.worlds import World

from .features import WINDOW
from .prompts import PROMPTS

COSTS = ("views denoised", "seconds")
MOVING = {"moving": True}


class Line(NamedTuple):
    """One row of a table.

    `changes` are fields of `PanoramaParams`; `x` and `series` its place in a plot of curves. What is not `joint` is
    there to compare with: the bundled model `without map` between the scales, gradients of `noisy pictures`, windows
    painted `alone` and laid side by side, or true pictures of the `world`.
    """

    label: str
    changes: Mapping[str, Any] = {}
    x: float | None = None
    series: str = ""
    source: Literal["joint", "without map", "noisy pictures", "alone", "world"] = "joint"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A table and a plot; every row paints the same prompts and seeds."""

    of: str
    lines: Sequence[Line]
    metrics: Sequence[str]
    drawn: Sequence[str]  # metrics in the plot
    asked: Literal["palettes", "scene", "strip"] = "palettes"  # which of the prompts of the world
    seeds: int  # per prompt
    rows: int = 1  # native windows
    columns: int = 8
    steps: int = 20
    first_column: str = "method"
    axis: str = ""  # what x is; a metric is looked up in the row; without an axis the plot has bars
    log: bool = False
    common: Mapping[str, Any] = field(default_factory=dict)  # fields of `PanoramaParams` for all rows

    def prompts(self, world: World) -> Sequence[str]:
        """What the model of a world is asked for."""
        asked = getattr(PROMPTS[world.name], self.asked)
        return asked if self.asked == "palettes" else (asked,)

    @property
    def size(self) -> dict[str, int]:
        """Of a panorama in pixels."""
        return {"height": self.rows * WINDOW, "width": self.columns * WINDOW}

    def fields(self, line: Line) -> dict[str, Any]:
        """Of `PanoramaParams`, but prompt and seed, for a row."""
        return {"steps": self.steps, **self.size, **self.common, **line.changes}


def _msd(**fields: Any) -> dict[str, Any]:
    return {"multiscale": MultiScaleParams(**fields)}


def _sync(**fields: Any) -> dict[str, Any]:
    return {"sync": SyncParams(**fields)}


def _crossed(stride: int, groups: int) -> Line:
    cells = Size(stride // groups, stride // groups)
    return Line(f"s / {groups}", {"cross_sampling": CrossSamplingParams(groups=groups, cross_stride=cells)})


def _high(of: str, rows: int, columns: int) -> Figure:
    """On a canvas of so many windows, with as many scales as can be chosen or as it asks for."""
    return Figure(
        of=of,
        lines=[
            Line("MultiDiffusion"),
            Line("MSD, 2 scales", _msd(scales=2)),
            Line("MSD, as many scales as the canvas asks for", _msd(scales=0)),
        ],
        metrics=("order violations", "palette deviation", *COSTS),
        drawn=("order violations", "palette deviation"),
        seeds=2,
        rows=rows,
        columns=columns,
    )


TRUE = Line("true pictures", source="world")
COHERENCE = ("palette distance", "style distance", "feature distance")
LAYOUT = ("FID", "KID", "order violations", "palette deviation")
GRIDS = ("grid x 8 px", "grid y 8 px", "grid x 16 px", "grid y 16 px")
SEAMS = ("seam energy", "seam energy at s / 2", "neighbour distance", "window deviation", "feature distance", "FID")
CROP, CROSS = {"crop_fusion": CropFusionParams()}, {"cross_sampling": CrossSamplingParams()}
TWIN = {"MultiDiffusion": {}, "Crop Fusion": CROP, "Cross Sampling": CROSS, "TwinDiffusion": CROP | CROSS}

# What figures of one paper have in common.
msd_setting = partial(
    Figure, metrics=(*LAYOUT, "seam energy", *GRIDS, "sharpness"), seeds=4, rows=2, columns=4, steps=12
)
strip = partial(Figure, asked="strip", seeds=12)
twin_setting = partial(strip, drawn=("seam energy", "neighbour distance", "FID"), common={"weights": "uniform"})

FIGURES = {
    "msd": Figure(
        of="MSD, Fig. 4: fidelity of panoramas higher than a window",
        lines=[
            Line("MultiDiffusion"),
            Line("moving windows", MOVING),
            Line("SyncDiffusion", _sync()),
            Line("MSD", _msd()),
            Line("MSD, moving windows", _msd() | MOVING),
            Line("all methods", METHODS["full"]),
            TRUE,
        ],
        metrics=(*LAYOUT, *COHERENCE, "seam energy", *GRIDS, "sharpness", *COSTS),
        drawn=LAYOUT,
        seeds=6,
        rows=2,
    ),
    "msd-steps": Figure(
        of="MSD: the number of steps",
        lines=[
            Line(f"{name}, {steps}", {**changes, "steps": steps}, steps, name)
            for name, changes in (("MultiDiffusion", {}), ("MSD", _msd()), ("MSD, moving windows", _msd() | MOVING))
            for steps in (8, 20, 50)
        ],
        metrics=("FID", "order violations", "palette deviation", "seam energy", *COSTS),
        drawn=("FID", "order violations", "palette deviation"),
        seeds=2,
        rows=2,
        axis="steps",
    ),
    "msd-strength": msd_setting(
        of="MSD: the part of the difference between the scales that is taken away",
        lines=[Line("0", x=0), *(Line(f"{w:g}", _msd(strength=w), w) for w in (0.25, 0.5, 0.75, 1.0))],
        drawn=("FID", "order violations", "palette deviation"),
        first_column="strength",
        axis="strength",
    ),
    "msd-weight": msd_setting(
        of="MSD, Fig. 5: the weight of the paper's gradient",
        lines=[
            Line("0", x=0),
            *(Line(f"{w}", _msd(guidance="gradient", weight=float(w)), w) for w in (1, 2, 4, 8, 10, 12, 16, 24)),
        ],
        drawn=("FID", "order violations", "palette deviation"),
        first_column="weight",
        axis="weight",
    ),
    "msd-roll-off": msd_setting(
        of="MSD: noise over picture at which the correction is full, and at which there is none",
        lines=[
            Line(f"{full:g} to {none:g}", _msd(roll_off=RollOff(full=full, none=none)))
            for full, none in ((2.0, 0.5), (2.0, 0.2), (1.0, 0.1), (0.5, 0.03))
        ],
        metrics=(*LAYOUT, "seam energy", *GRIDS, "sharpness", *COSTS),
        drawn=("FID", "order violations", "sharpness"),
        first_column="full to none",
    ),
    "msd-map": Figure(
        of="MSD: with and without the map between the latents of small and of large pictures",
        lines=[
            Line("MultiDiffusion"),
            Line("MSD, with the map", _msd()),
            Line("MSD, without the map", _msd(), source="without map"),
            TRUE,
        ],
        metrics=(*LAYOUT, *GRIDS, "sharpness"),
        drawn=("FID", "order violations", "grid x 8 px", "grid x 16 px"),
        seeds=4,
        rows=2,
        columns=4,
    ),
    "msd-high": _high("MSD on 4 x 4 windows", 4, 4),
    "msd-tall": _high("MSD on 8 x 2 windows", 8, 2),
    "msd-large": _high("MSD on 8 x 8 windows", 8, 8),
    "msd-sync": Figure(
        of="MSD and SyncDiffusion together, where the prompt leaves the palette open",
        lines=[
            Line("MultiDiffusion"),
            Line("MSD", _msd()),
            Line("MSD and SyncDiffusion", _msd() | _sync()),
            Line("MSD and SyncDiffusion, moving windows", _msd() | _sync() | MOVING),
        ],
        metrics=("palette distance", "order violations", "FID", *COSTS),
        drawn=("palette distance", "order violations", "FID"),
        asked="scene",
        seeds=6,
        rows=2,
    ),
    "sync": Figure(
        of="SyncDiffusion, Fig. 5: coherence, fidelity and diversity",
        lines=[
            Line("MultiDiffusion"),
            Line("moving windows", MOVING),
            Line("SyncDiffusion", _sync()),
            Line("SyncDiffusion, to the letter", _sync(guidance="gradient")),
            Line("SyncDiffusion, Eq. 13 (S.5)", _sync(guidance="gradient"), source="noisy pictures"),
            Line("windows painted alone", source="alone"),
            TRUE,
        ],
        metrics=(
            *(*COHERENCE, "window deviation", "FID", "KID", "Mean-GIQA", "diversity"),
            *("order violations", "seam energy", *COSTS),
        ),
        drawn=("palette distance", "style distance", "feature distance", "FID"),
        asked="strip",
        seeds=16,
    ),
    "sync-weight": strip(
        of="SyncDiffusion, Fig. 5 and S.2: the weight against coherence, fidelity and diversity",
        lines=[  # of weight 0 there is one, which is MultiDiffusion
            *(Line("0", x=0, series=guidance) for guidance in SYNC_GUIDANCES),
            *(
                Line(f"{guidance}, {weight}", _sync(guidance=guidance, weight=float(weight)), weight, guidance)
                for guidance in SYNC_GUIDANCES
                for weight in (5, 10, 20, 40)
            ),
        ],
        metrics=(*COHERENCE, "window deviation", "FID", "KID", "diversity"),
        drawn=("palette distance", "style distance", "feature distance", "FID"),
        first_column="weight",
        axis="weight",
    ),
    "sync-anchors": Figure(
        of="SyncDiffusion on two rows of windows: one anchor, or one for each row",
        lines=[
            Line("MultiDiffusion"),
            Line("one anchor per row", _sync(anchors="one per row")),
            Line("one anchor", _sync(anchors="one")),
        ],
        metrics=("FID", "KID", *COHERENCE, "window deviation", "order violations"),
        drawn=("FID", "palette distance", "window deviation"),
        asked="scene",
        seeds=12,
        rows=2,
        columns=4,
    ),
    "twin": twin_setting(
        of="TwinDiffusion, Fig. 5 and 8: the stride against time",
        lines=[
            *(
                Line(f"{name}, s = {stride}", changes | {"stride": stride}, series=name)
                for stride in (16, 12, 8, 4)
                for name, changes in TWIN.items()
                if stride > 4 or name == "MultiDiffusion"
            ),
            Line("moving windows", MOVING | {"stride": 16}, series="moving windows"),
            Line("moving windows, Crop Fusion", CROP | MOVING | {"stride": 16}, series="moving windows, Crop Fusion"),
        ],
        metrics=(*SEAMS, *COSTS),
        drawn=("seam energy", "neighbour distance"),
        axis="views denoised",
    ),
    "twin-tau": twin_setting(
        of="TwinDiffusion, Fig. 6: the part of the steps with Crop Fusion",
        lines=[
            Line("0", x=0),
            *(Line(f"{s:g}", {"crop_fusion": CropFusionParams(stop=s)}, s) for s in (0.25, 0.5, 0.75, 1.0)),
        ],
        metrics=SEAMS,
        first_column="part with Crop Fusion",
        axis="part of the steps with Crop Fusion",
    ),
    "twin-lambda": twin_setting(
        of="TwinDiffusion, Fig. 7: lambda, how much a window holds on to itself",
        lines=[
            Line(f"{value:g}", CROSS | {"crop_fusion": CropFusionParams(adjacency=value)}, value)
            for value in (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
        ],
        metrics=SEAMS,
        first_column="lambda",
        axis="lambda",
        log=True,
    ),
    "twin-cross-stride": twin_setting(
        of="TwinDiffusion, Table 1: the cross stride, with s = 12",
        lines=[Line("no Cross Sampling"), *(_crossed(12, groups) for groups in (2, 3, 4, 6, 12))],
        metrics=(*SEAMS, *COSTS),
        first_column="cross stride",
        common={"weights": "uniform", "stride": 12},
    ),
}

"""The figures of the papers as rows of panoramas: what is painted for each, what is measured and what is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from core.canvas.windows import Size
from core.correction import RollOff
from core.methods.multiscale import MultiScaleParams
from core.methods.syncdiffusion import GUIDANCES as SYNC_GUIDANCES
from core.methods.syncdiffusion import SyncParams
from core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from demo.panorama import METHODS

from .features import WINDOW
from .prompts import PROMPTS, SCENE, STRIP

COSTS = ("views denoised", "seconds")
MOVING = {"moving": True}


class Line(NamedTuple):
    """One row of a table.

    `changes` are fields of `PanoramaParams`; `x` and `series` its place in a plot of curves. What is not `joint` is
    there to compare with: the bundled model `without map` between the scales, windows painted `alone` and laid side by
    side, or true pictures of the `world`.
    """

    label: str
    changes: Mapping[str, Any] = {}
    x: float | None = None
    series: str = ""
    source: Literal["joint", "without map", "alone", "world"] = "joint"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A table and a plot; every row paints the same prompts and seeds."""

    of: str
    lines: Sequence[Line]
    metrics: Sequence[str]
    drawn: Sequence[str]  # metrics in the plot
    prompts: Sequence[str] = PROMPTS
    seeds: int  # per prompt
    rows: int = 1  # native windows
    columns: int = 8
    steps: int = 20
    first_column: str = "method"
    axis: str = ""  # what x is; a metric is looked up in the row; without an axis the plot has bars
    log: bool = False
    common: Mapping[str, Any] = field(default_factory=dict)  # fields of `PanoramaParams` for all rows

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


def _strength_lines() -> list[Line]:
    strengths = (0.25, 0.5, 0.75, 1.0)
    return [Line("0", x=0)] + [Line(f"{s:g}", _msd(strength=s), s) for s in strengths]


def _weight_lines() -> list[Line]:
    weights = (1, 2, 4, 8, 10, 12, 16, 24)
    return [Line("0", x=0)] + [Line(f"{w}", _msd(guidance="gradient", weight=float(w)), w) for w in weights]


def _roll_off_lines() -> list[Line]:
    falls = ((2.0, 0.5), (2.0, 0.2), (1.0, 0.1), (0.5, 0.03))
    return [Line(f"{full:g} to {none:g}", _msd(roll_off=RollOff(full=full, none=none))) for full, none in falls]


def _steps_lines() -> list[Line]:
    methods = {"MultiDiffusion": {}, "MSD": _msd(), "MSD, moving windows": _msd() | MOVING}
    return [
        Line(f"{name}, {steps}", {**changes, "steps": steps}, steps, name)
        for name, changes in methods.items()
        for steps in (8, 20, 50)
    ]


def _high_lines() -> list[Line]:
    scales = {"MSD, 2 scales": 2, "MSD, as many scales as the canvas asks for": 0}
    return [Line("MultiDiffusion")] + [Line(name, _msd(scales=scales)) for name, scales in scales.items()]


def _sync_weight_lines() -> list[Line]:
    """Of weight 0 there is one, which is MultiDiffusion."""
    lines = [Line("0", x=0, series=guidance) for guidance in SYNC_GUIDANCES]
    return lines + [
        Line(f"{guidance}, {weight}", _sync(guidance=guidance, weight=float(weight)), weight, guidance)
        for guidance in SYNC_GUIDANCES
        for weight in (5, 10, 20, 40)
    ]


def _twin_lines() -> list[Line]:
    crop, cross = {"crop_fusion": CropFusionParams()}, {"cross_sampling": CrossSamplingParams()}
    methods = {"MultiDiffusion": {}, "Crop Fusion": crop, "Cross Sampling": cross, "TwinDiffusion": crop | cross}
    lines = [
        Line(f"{name}, s = {stride}", changes | {"stride": stride}, series=name)
        for stride in (16, 12, 8, 4)
        for name, changes in methods.items()
        if stride > 4 or name == "MultiDiffusion"
    ]
    moving = {"moving windows": {}, "moving windows, Crop Fusion": crop}
    return lines + [Line(name, changes | MOVING | {"stride": 16}, series=name) for name, changes in moving.items()]


def _tau_lines() -> list[Line]:
    stops = (0.25, 0.5, 0.75, 1.0)
    return [Line("0", x=0)] + [Line(f"{s:g}", {"crop_fusion": CropFusionParams(stop=s)}, s) for s in stops]


def _lambda_lines() -> list[Line]:
    cross = {"cross_sampling": CrossSamplingParams()}
    values = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
    return [Line(f"{v:g}", cross | {"crop_fusion": CropFusionParams(adjacency=v)}, v) for v in values]


def _cross_lines(stride: int = 12) -> list[Line]:
    lines = [Line("no Cross Sampling")]
    for groups in (2, 3, 4, 6, 12):
        cells = Size(stride // groups, stride // groups)
        lines.append(Line(f"s / {groups}", {"cross_sampling": CrossSamplingParams(groups=groups, cross_stride=cells)}))
    return lines


TRUE = Line("true pictures", source="world")
COHERENCE = ("palette distance", "style distance", "feature distance")
LAYOUT = ("FID", "KID", "order violations", "palette deviation")
GRIDS = ("grid x 8 px", "grid y 8 px", "grid x 16 px", "grid y 16 px")
SEAMS = ("seam energy", "seam energy at s / 2", "neighbour distance", "window deviation")

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
        lines=_steps_lines(),
        metrics=("FID", "order violations", "palette deviation", "seam energy", *COSTS),
        drawn=("FID", "order violations", "palette deviation"),
        seeds=2,
        rows=2,
        axis="steps",
    ),
    "msd-strength": Figure(
        of="MSD: the part of the difference between the scales that is taken away",
        lines=_strength_lines(),
        metrics=(*LAYOUT, "seam energy", *GRIDS, "sharpness"),
        drawn=("FID", "order violations", "palette deviation"),
        seeds=4,
        rows=2,
        columns=4,
        steps=12,
        first_column="strength",
        axis="strength",
    ),
    "msd-weight": Figure(
        of="MSD, Fig. 5: the weight of the paper's gradient",
        lines=_weight_lines(),
        metrics=(*LAYOUT, "seam energy", *GRIDS, "sharpness"),
        drawn=("FID", "order violations", "palette deviation"),
        seeds=4,
        rows=2,
        columns=4,
        steps=12,
        first_column="weight",
        axis="weight",
    ),
    "msd-roll-off": Figure(
        of="MSD: noise over picture at which the correction is full, and at which there is none",
        lines=_roll_off_lines(),
        metrics=(*LAYOUT, "seam energy", *GRIDS, "sharpness", *COSTS),
        drawn=("FID", "order violations", "sharpness"),
        seeds=4,
        rows=2,
        columns=4,
        steps=12,
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
    "msd-high": Figure(
        of="MSD on 4 x 4 windows",
        lines=_high_lines(),
        metrics=("order violations", "palette deviation", *COSTS),
        drawn=("order violations", "palette deviation"),
        seeds=2,
        rows=4,
        columns=4,
    ),
    "msd-tall": Figure(
        of="MSD on 8 x 2 windows",
        lines=_high_lines(),
        metrics=("order violations", "palette deviation", *COSTS),
        drawn=("order violations", "palette deviation"),
        seeds=2,
        rows=8,
        columns=2,
    ),
    "msd-large": Figure(
        of="MSD on 8 x 8 windows",
        lines=_high_lines(),
        metrics=("order violations", "palette deviation", *COSTS),
        drawn=("order violations", "palette deviation"),
        seeds=2,
        rows=8,
        columns=8,
    ),
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
        prompts=(SCENE,),
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
            Line("windows painted alone", source="alone"),
            TRUE,
        ],
        metrics=(*COHERENCE, "window deviation", "FID", "KID", "diversity", "order violations", "seam energy", *COSTS),
        drawn=("palette distance", "style distance", "feature distance", "FID"),
        prompts=(STRIP,),
        seeds=16,
    ),
    "sync-weight": Figure(
        of="SyncDiffusion, Fig. 5 and S.2: the weight against coherence, fidelity and diversity",
        lines=_sync_weight_lines(),
        metrics=(*COHERENCE, "window deviation", "FID", "KID", "diversity"),
        drawn=("palette distance", "style distance", "feature distance", "FID"),
        prompts=(STRIP,),
        seeds=12,
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
        prompts=(SCENE,),
        seeds=12,
        rows=2,
        columns=4,
    ),
    "twin": Figure(
        of="TwinDiffusion, Fig. 5 and 8: the stride against time",
        lines=_twin_lines(),
        metrics=(*SEAMS, "feature distance", "FID", *COSTS),
        drawn=("seam energy", "neighbour distance"),
        prompts=(STRIP,),
        seeds=12,
        axis="views denoised",
        common={"weights": "uniform"},
    ),
    "twin-tau": Figure(
        of="TwinDiffusion, Fig. 6: the part of the steps with Crop Fusion",
        lines=_tau_lines(),
        metrics=(*SEAMS, "feature distance", "FID"),
        drawn=("seam energy", "neighbour distance", "FID"),
        prompts=(STRIP,),
        seeds=12,
        first_column="part with Crop Fusion",
        axis="part of the steps with Crop Fusion",
        common={"weights": "uniform"},
    ),
    "twin-lambda": Figure(
        of="TwinDiffusion, Fig. 7: lambda, how much a window holds on to itself",
        lines=_lambda_lines(),
        metrics=(*SEAMS, "feature distance", "FID"),
        drawn=("seam energy", "neighbour distance", "FID"),
        prompts=(STRIP,),
        seeds=12,
        first_column="lambda",
        axis="lambda",
        log=True,
        common={"weights": "uniform"},
    ),
    "twin-cross-stride": Figure(
        of="TwinDiffusion, Table 1: the cross stride, with s = 12",
        lines=_cross_lines(),
        metrics=(*SEAMS, "feature distance", "FID", *COSTS),
        drawn=("seam energy", "neighbour distance", "FID"),
        prompts=(STRIP,),
        seeds=12,
        first_column="cross stride",
        common={"weights": "uniform", "stride": 12},
    ),
}

"""The figures of the papers as rows of panoramas: what is painted for each, what is measured and what is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from core.multiscale import MultiScaleParams
from core.syncdiffusion import SyncParams
from core.twindiffusion import CropFusionParams, CrossSamplingParams
from core.windows import Size
from demo.panorama import METHODS

SCENE = "sky mountains forest meadow"  # no season and no hour: every window may choose its own
PROMPTS = (f"summer day {SCENE}", f"autumn dusk {SCENE}", f"winter dawn {SCENE}")
STRIP = f"far {SCENE}"  # whole scenes side by side
COSTS = ("views denoised", "seconds")


class Line(NamedTuple):
    """One row of a table.

    `changes` are fields of `PanoramaParams`; `x` and `series` its place in a plot of curves. What is not `joint` is
    there to compare with: windows painted `alone` and laid side by side, or true pictures of the `world`.
    """

    label: str
    changes: Mapping[str, Any] = {}
    x: float | None = None
    series: str = ""
    source: Literal["joint", "alone", "world"] = "joint"


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


def weight_lines(targets: Sequence[str]) -> list[Line]:
    """MSD Fig. 5 for some targets; of weight 0 there is one, which is MultiDiffusion."""
    lines = [Line("0", x=0, series=target) for target in targets]
    for target in targets:
        for weight in (1, 2, 4, 8, 10, 12, 16, 20, 24):
            label = f"{weight}" if len(targets) == 1 else f"{target}, {weight}"
            multiscale = MultiScaleParams(target=target, weight=float(weight))
            lines.append(Line(label, {"multiscale": multiscale}, weight, target))
    return lines


def _stop_lines() -> list[Line]:
    stops = (0.2, 0.4, 0.6, 0.8, 1.0)
    return [Line("0", x=0)] + [Line(f"{s:g}", {"multiscale": MultiScaleParams(stop=s)}, s) for s in stops]


def _steps_lines() -> list[Line]:
    return [
        Line(f"{name}, {steps}", {**METHODS[method], "steps": steps}, steps, name)
        for name, method in (("MultiDiffusion", "multidiffusion"), ("MSD", "msd"))
        for steps in (8, 12, 20, 30, 50)
    ]


def _sync_weight_lines() -> list[Line]:
    return [Line("0", x=0)] + [Line(f"{w}", {"sync": SyncParams(weight=float(w))}, w) for w in (5, 10, 20, 40)]


def _twin_lines() -> list[Line]:
    crop, cross = {"crop_fusion": CropFusionParams()}, {"cross_sampling": CrossSamplingParams()}
    methods = {"MultiDiffusion": {}, "Crop Fusion": crop, "Cross Sampling": cross, "TwinDiffusion": crop | cross}
    return [
        Line(f"{name}, s = {stride}", changes | {"stride": stride}, series=name)
        for stride in (16, 12, 8, 4)
        for name, changes in methods.items()
        if stride > 4 or name == "MultiDiffusion"
    ]


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
SEAMS = ("seam energy", "seam energy at s / 2", "neighbour distance", "window deviation")

FIGURES = {
    "msd": Figure(
        of="MSD, Fig. 4: fidelity of panoramas higher than a window",
        lines=[
            Line("MultiDiffusion", METHODS["multidiffusion"]),
            Line("SyncDiffusion", METHODS["sync"]),
            Line("MSD", METHODS["msd"]),
            Line("all methods", METHODS["full"]),
            TRUE,
        ],
        metrics=("FID", "KID", "order violations", "palette deviation", *COHERENCE, "seam energy", *COSTS),
        drawn=("FID", "KID", "order violations", "palette deviation"),
        seeds=6,
        rows=2,
    ),
    "msd-weight": Figure(
        of="MSD, Fig. 5: the weight of the guidance",
        lines=weight_lines(["jacobian_free"]),
        metrics=("FID", "KID", "order violations", "palette deviation"),
        drawn=("FID", "order violations", "palette deviation"),
        seeds=4,
        rows=2,
        columns=4,
        steps=12,
        first_column="weight",
        axis="weight",
    ),
    "msd-stop": Figure(
        of="MSD, first version, Fig. 6: the part of the steps that are guided",
        lines=_stop_lines(),
        metrics=("FID", "KID", "order violations", "palette deviation", *COSTS),
        drawn=("FID", "order violations", "views denoised"),
        seeds=4,
        rows=2,
        columns=4,
        steps=12,
        first_column="guided part",
        axis="part of the steps that are guided",
    ),
    "msd-steps": Figure(
        of="MSD: the number of steps",
        lines=_steps_lines(),
        metrics=("order violations", "palette deviation", *COSTS),
        drawn=("order violations", "palette deviation"),
        seeds=2,
        rows=2,
        columns=4,
        axis="steps",
    ),
    "sync": Figure(
        of="SyncDiffusion, Fig. 5: coherence, fidelity and diversity",
        lines=[
            Line("MultiDiffusion"),
            Line("SyncDiffusion", METHODS["sync"]),
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
            Line("one anchor per row", {"sync": SyncParams(anchors="one per row")}),
            Line("one anchor", {"sync": SyncParams(anchors="one")}),
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

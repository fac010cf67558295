"""Every figure of the papers with two or three small panoramas a row, in one process: preparing takes seconds."""

from pathlib import Path
from typing import NamedTuple

import pytest
from commands import python
from joint_diffusion.benchmarks.table import read
from PIL import Image

MSD = "--seeds 1 --columns 2 --steps 1"  # of two prompts
STRIP = "--seeds 2 --columns 2 --steps 1"
WIDE = "--columns 3 --steps 1"  # windows of a row that do not touch
RUNS = {  # and the rows of their tables
    f"msd --seeds 1 {WIDE}": 7,
    "msd-steps --seeds 1 --columns 2": 3,
    f"msd-strength {MSD}": 5,
    f"msd-weight {MSD}": 2,
    f"msd-roll-off {MSD}": 4,
    f"msd-map {MSD}": 4,
    f"msd-high {MSD}": 3,
    f"msd-tall {MSD}": 3,
    f"msd-large {MSD}": 3,
    f"msd-sync --seeds 2 {WIDE}": 4,
    f"sync --seeds 2 {WIDE}": 7,
    f"sync-weight {STRIP}": 9,
    f"sync-anchors {STRIP}": 3,
    f"twin {STRIP}": 15,
    f"twin-tau {STRIP}": 5,
    f"twin-lambda {STRIP}": 6,
    f"twin-cross-stride {STRIP}": 6,
    "zoom --seeds 1 --steps 2": 9,
    "zoom-4 --seeds 1 --steps 1": 9,
    "zoom-levels --seeds 1 --steps 2": 8,
    "enlarge --seeds 1 --columns 1 --steps 1": 11,
    "enlarge-4 --seeds 1 --columns 1 --steps 1": 11,
}
NAMES = [run.split()[0] for run in RUNS]
ALL = """
import dataclasses, sys
from benchmarks import bootstrap
from benchmarks.figures import enlarging, painter, zooms
from benchmarks.figures import __main__ as figures
from benchmarks.figures.prompts import PROMPTS

def fewer(module, **numbers):
    assert numbers.keys() <= vars(module).keys()  # a name that is not there would change nothing, and cost minutes
    vars(module).update(numbers)

fewer(bootstrap, RESAMPLES=10)
fewer(painter, TRUE_PICTURES=6)
fewer(enlarging, TRUE_PICTURES=2, HEIGHT=96)
fewer(zooms, TRUE_ZOOMS=2)
PROMPTS["landscapes"] = PROMPTS["landscapes"]._replace(palettes=PROMPTS["landscapes"].palettes[:2])
for name, figure in figures.FIGURES.items():
    every = {"msd-steps": 3, "msd-weight": 5}.get(name, 1)  # the fewest with each method, and no weight beside ten
    few = dataclasses.replace(figure, lines=figure.lines[::every])
    figures.FIGURES[name] = few
print(*figures.FIGURES, *figures.ZOOMING, figures.ZOOM_LEVELS, *figures.ENLARGING)
folder, *runs = sys.argv[1:]
for run in runs:
    print("run:", run, file=sys.stderr, flush=True)
    figures.main([*run.split(), "--bfloat16", "--out", f"{folder}/kept", "--results", f"{folder}/results"])
"""
AGAIN = next(run for run in RUNS if run.startswith("sync "))


class Ran(NamedTuple):
    """What came of all runs."""

    known: list[str]
    results: Path
    said: list[str]  # to stderr, by each run: all of RUNS, and one of them again


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    done = python("-c", ALL, str(folder), *RUNS, AGAIN)
    assert done.returncode == 0, done.stderr
    return Ran(done.stdout.splitlines()[0].split(), folder / "results", done.stderr.split("run: ")[1:])


def test_all_figures_are_tried(ran):
    assert ran.known == NAMES


@pytest.mark.parametrize(("name", "rows"), list(zip(NAMES, RUNS.values(), strict=True)))
def test_tables_have_a_number_in_every_place(ran, name, rows):
    comments, lines = read(ran.results / f"{name}.csv")
    labels, metrics = ({line[field] for line in lines} for field in ("row", "metric"))
    assert len(labels) == rows
    # True pictures have no PSNR, for they are what is made small. The last level of a zoom has no border to look at.
    missing = {"enlarge": 1, "enlarge-4": 1, "zoom-levels": 4}.get(name, 0)
    assert len(lines) == rows * len(metrics) - missing
    assert {line["panoramas"] for line in lines} == {"3" if name.startswith("zoom") else "2"}
    for line in lines:
        value, low, high = (float(line[field] or "0") for field in ("value", "low", "high"))
        assert abs(value) < float("inf")  # and not nan
        if line["metric"] in ("views denoised", "seconds"):
            assert not line["low"]
            assert value >= 0
        else:
            assert low <= high
    assert "95 % bootstrap intervals" in comments[1]


@pytest.mark.parametrize("name", NAMES)
def test_plots_are_drawn(ran, name):
    plot = (ran.results / f"{name}.svg").read_text(encoding="utf-8")
    assert plot.startswith("<?xml")
    assert plot.count('id="axes_') >= 2


def values_of(ran, name):
    """By row and metric."""
    return {(line["row"], line["metric"]): float(line["value"]) for line in read(ran.results / f"{name}.csv")[1]}


def test_rows_of_different_figures_are_the_same_pictures(ran):
    """Nothing of a strength or weight is MultiDiffusion, and a strength of 1 the default."""
    strength, weight, roll_off = (values_of(ran, name) for name in ("msd-strength", "msd-weight", "msd-roll-off"))
    for metric in ("FID", "order violations"):
        assert strength["0", metric] == weight["0", metric]
        assert strength["1", metric] == roll_off["1 to 0.1", metric]
    for guided in (strength["1", "FID"], weight["10", "FID"]):
        assert guided != strength["0", "FID"]


def test_high_canvases_are_looked_at_as_often_as_their_scales_ask_for(ran):
    """8 x 2 windows overlap to 15 x 3; the coarser canvases to 7 x 1, 3 x 1 and a single one."""
    views = [views for (_, metric), views in values_of(ran, "msd-tall").items() if metric == "views denoised"]
    assert views == [45, 45 + 7, 45 + 7 + 3 + 1]


def test_the_map_between_scales_changes_the_pictures(ran):
    values = values_of(ran, "msd-map")
    assert values["MSD, with the map", "FID"] != values["MSD, without the map", "FID"]


def test_a_second_run_paints_nothing(ran):
    first, again = (said for said in ran.said if said.startswith(f"{AGAIN}\n"))
    assert "\n0 pictures painted" in again
    assert "\n0 pictures painted" not in first


def test_windows_painted_alone_have_seams_and_true_pictures_have_none(ran):
    seams = values_of(ran, "sync")
    assert seams["windows painted alone", "seam energy"] > 1.5 > 1.2 > seams["true pictures", "seam energy"]


def test_zoom_stacks_agree_where_they_are_rendered_from_one_set_of_layers(ran):
    zoom = values_of(ran, "zoom")
    assert zoom["independent", "inconsistency"] == zoom["independent", "inconsistency as sampled"] > 0.02
    for method in ("naive averaging", "no shared noise", "iterative update", "ours"):
        assert zoom[method, "inconsistency"] < 0.8 * zoom[method, "inconsistency as sampled"]  # the rest: finest bands
    limit = "ours, through the autoencoder"
    assert zoom[limit, "inconsistency"] == zoom[limit, "inconsistency as sampled"] > 1e-3
    assert (
        zoom["naive averaging", "sharpness of the innermost level"] < zoom["ours", "sharpness of the innermost level"]
    )
    for name in ("zoom", "zoom-4"):
        assert Image.open(ran.results / f"{name}.jpg").size == (4 * 128, 7 * 128)  # levels, and methods


def test_levels_that_are_made_from_one_another_agree(ran):
    """Outpainting puts the level before in the middle; super-resolution keeps it up to rounding of the pixels."""
    for name in ("zoom", "zoom-4"):
        zoom = values_of(ran, name)
        assert zoom["outpainting", "inconsistency"] < 0.01
        assert zoom["super-resolution", "inconsistency"] < 0.02
        assert zoom["true zooms", "Mean-GIQA"] > zoom["independent", "Mean-GIQA"]

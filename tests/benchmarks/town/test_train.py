"""The model of the town: a few steps of its training, and the figures with what came of it."""

import pytest
from commands import python
from joint_diffusion.benchmarks.table import read

FEW = "--pictures 2 --autoencoder-batch 4 --batch 4 --workers 1 --autoencoder-steps 1 --decoder-steps 1 --steps 1"
FIGURES = """
import sys
from dataclasses import replace
from pathlib import Path
from benchmarks import bootstrap
from benchmarks.figures import __main__ as figures
from benchmarks.figures import enlarging, features, painter, train_features, zooms
from benchmarks.worlds import WORLDS

def fewer(module, **numbers):
    assert numbers.keys() <= vars(module).keys()  # a name that is not there would change nothing, and cost minutes
    vars(module).update(numbers)

folder = Path(sys.argv[1])
WORLDS["town"] = replace(WORLDS["town"], weights=folder / "weights")
features.WEIGHTS["town"] = folder / "features.safetensors"
fewer(train_features, HELD_BACK=1, ASKED=20, WHITENED=200)
sys.argv[1:] = ["--world", "town", "--pictures", "2", "--kept", str(folder / "kept"), "--steps", "2", "--batch", "4"]
train_features.main()
fewer(bootstrap, RESAMPLES=10)
fewer(painter, TRUE_PICTURES=6)
fewer(enlarging, TRUE_PICTURES=2, HEIGHT=96)
fewer(zooms, TRUE_ZOOMS=2)
figures.FIGURES["msd"] = replace(figures.FIGURES["msd"], lines=figures.FIGURES["msd"].lines[::3])
into = ["--world", "town", "--out", str(folder / "pictures"), "--results", str(folder / "results")]
for run in ("msd --columns 3 --steps 1", "zoom --steps 2", "enlarge --columns 1 --steps 1"):
    figures.main([*run.split(), "--seeds", "1", *into])
"""
MISSING = """
import sys
from dataclasses import replace
from pathlib import Path
from benchmarks.figures import __main__ as figures
from benchmarks.worlds import WORLDS

WORLDS["town"] = replace(WORLDS["town"], weights=Path(sys.argv[1]))
figures.main(["msd", "--world", "town", "--out", sys.argv[1]])
"""


def run(*command):
    done = python(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    places = ["--kept", str(folder / "kept"), "--out", str(folder / "weights")]
    first = run("-m", "benchmarks.town.train", *FEW.split(), *places)
    again = run("-m", "benchmarks.town.train", *FEW.split(), *places)
    return folder, first, again


def test_one_command_trains_the_model_and_goes_on_where_it_was(trained):
    folder, first, again = trained
    assert {path.name for path in (folder / "weights").iterdir()} == {"autoencoder.safetensors", "denoiser.safetensors"}
    assert "2 of 2 pictures" in first
    assert "denoiser 1/1" in first
    assert "of 2 pictures" not in again
    assert "denoiser: goes on at step 1 of 1" in again


def test_figures_of_the_town_have_tables_of_their_own(trained):
    folder, *_ = trained
    said = run("-c", FIGURES, str(folder))
    assert "town: " in said  # how well the features tell towns
    written = {path.name for path in (folder / "results").iterdir()}
    assert written == {"msd-town.csv", "msd-town.svg", "zoom-town.csv", "zoom-town.svg", "zoom-town.jpg"} | {
        "enlarge-town.csv", "enlarge-town.svg",
    }  # fmt: skip
    values = {(line["row"], line["metric"]): float(line["value"]) for line in read(folder / "results/msd-town.csv")[1]}
    true = {metric: values["true pictures", metric] for metric in ("order violations", "palette deviation")}
    painted = {metric: values["MultiDiffusion", metric] for metric in true}
    assert true["order violations"] < 0.1
    assert true["palette deviation"] < 1.8 < painted["palette deviation"]  # one step of training paints no town


def test_missing_weights_say_how_to_get_them(tmp_path):
    done = python("-c", MISSING, str(tmp_path))
    assert done.returncode
    said = "denoiser.safetensors: the weights are missing; make them with `python -m benchmarks.town.train`."
    assert said in done.stderr.splitlines()[-1]

import json
import subprocess
import sys

import pytest
from host import ROOT
from PIL import Image

SMALL = ("--height", "128", "--width", "192", "--steps", "2")


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "demo", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("method", ["multidiffusion", "msd", "sync", "twin", "full"])
def test_a_panorama_and_one_line_of_numbers(method, tmp_path):
    path = tmp_path / "panorama.png"
    done = run("panorama", "--method", method, *SMALL, "--out", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert {"order_violations_per_column", "seam_energy", "palette_distance", "palette_deviation"} <= set(report)
    assert report["method"] == method and report["seconds"] > 0 and report["model_calls"] > 0
    assert Image.open(path).size == (192, 128)


def test_options_of_a_method_reach_it(tmp_path):
    out = ("--out", str(tmp_path / "panorama.png"))
    options = ("--msd-weight", "3", "--sync-weight", "7", "--adjacency", "0.5", "--groups", "2")
    done = run("panorama", "--method", "full", *SMALL, *options, *out)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["multiscale"]["weight"], report["sync"]["weight"]) == (3, 7)
    assert (report["crop_fusion"]["adjacency"], report["cross_sampling"]["groups"]) == (0.5, 2)


def test_options_of_another_method_are_refused():
    done = run("panorama", "--method", "msd", "--sync-weight", "7")
    assert done.returncode != 0
    assert "--sync-weight: belongs to the method sync or full, not to msd." in done.stderr


def test_wrong_sizes_are_refused_in_one_line():
    done = run("panorama", "--width", "1000")
    assert done.returncode != 0
    assert "width: must be a multiple of 64" in done.stderr and "Traceback" not in done.stderr

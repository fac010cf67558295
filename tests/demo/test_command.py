import json
import subprocess
import sys

import pytest
from host import ROOT
from PIL import Image

SMALL = ("--height", "128", "--width", "192", "--steps", "2")


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "demo", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("method", ["multidiffusion", "msd"])
def test_a_panorama_and_one_line_of_numbers(method, tmp_path):
    path = tmp_path / "panorama.png"
    done = run("panorama", "--method", method, *SMALL, "--out", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert {"order_violations_per_column", "seam_energy", "palette_distance", "palette_deviation"} <= set(report)
    assert report["method"] == method and report["seconds"] > 0 and report["model_calls"] > 0
    assert Image.open(path).size == (192, 128)


def test_wrong_sizes_are_refused_in_one_line():
    done = run("panorama", "--width", "1000")
    assert done.returncode != 0
    assert "width: must be a multiple of 64" in done.stderr and "Traceback" not in done.stderr

import os
import shutil
import subprocess
import sys

import pytest
import torch
from host import ROOT
from joint_diffusion.benchmarks.figures.gallery import Gallery
from PIL import Image

IMAGE = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
EDIT = """
from pathlib import Path
from benchmarks.figures.gallery import Gallery
from benchmarks.figures.painter import painted_by
from benchmarks.worlds import WORLDS
def name():
    for world in WORLDS.values():
        print(Gallery(Path("kept"), painted_by(world)).path("a").name)
name()
files = "core/zoom/pyramid.py", "demo/world.py", "demo/weights/denoiser.safetensors", "benchmarks/town/walls.py"
for path in map(Path, [*files, *(f"benchmarks/figures/{stem}.py" for stem in ("painter", "truth", "zooms"))]):
    path.write_bytes(path.read_bytes() + b"#")
    name()
"""


def test_a_picture_is_painted_once(tmp_path):
    first = Gallery(tmp_path, bfloat16=False)
    kept = first.picture("a", lambda: (IMAGE, 45))
    assert (kept.image - IMAGE).abs().max() <= 0.5 / 255 + 1e-6
    assert kept.views == 45
    assert kept.seconds >= 0
    again = Gallery(tmp_path, bfloat16=False)
    same = again.picture("a", lambda: pytest.fail("it is there"))
    assert torch.equal(same.image, kept.image)
    assert same[1:] == kept[1:]
    assert (first.painted, again.painted) == (1, 0)


def test_everything_that_it_depends_on_names_it(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    paths = {Gallery(tmp_path / "kept", (weights,), bfloat16=b).path(what) for b in (True, False) for what in "ab"}
    weights.write_bytes(b"two")
    paths.add(Gallery(tmp_path / "kept", (weights,), bfloat16=True).path("a"))
    assert len(paths) == 5


def test_the_code_that_paints_it_names_it(tmp_path):
    code, other = tmp_path / "code" / "core" / "step.py", tmp_path / "code" / "notes.txt"
    code.parent.mkdir(parents=True)

    def path():
        return Gallery(tmp_path / "kept", (tmp_path / "code",)).path("a")

    code.write_text("step = 1")
    first = path()
    code.write_text("step = 2")
    second = path()
    moved = code.rename(code.with_name("steps.py"))
    paths = [first, second, path()]
    assert len(set(paths)) == 3
    other.write_text("no code")
    moved.rename(code)
    assert path() == second


def test_pictures_of_the_figures_are_painted_again_after_any_change_of_core_or_demo(tmp_path):
    without = shutil.ignore_patterns("__pycache__", "out", "results")
    for folder in ("core", "demo", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=without)
    done = subprocess.run([sys.executable, "-c", EDIT], cwd=tmp_path, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    # Of both worlds; but landscapes do not depend on the code of the town, nor the town on their weights.
    assert len(names) == 2 * (1 + 7)
    assert len(set(names)) == 2 * (1 + 7) - 2


def test_a_run_that_is_stopped_while_it_writes_leaves_no_picture(tmp_path, monkeypatch):
    gallery = Gallery(tmp_path)
    monkeypatch.setattr(Image.Image, "save", lambda _self, path, **_: (path.write_bytes(b"half"), os.abort_here()))
    with pytest.raises(AttributeError, match="abort_here"):
        gallery.picture("a", lambda: (IMAGE, 1))
    monkeypatch.undo()
    assert not gallery.path("a").exists()
    assert gallery.picture("a", lambda: (IMAGE, 2)).views == 2

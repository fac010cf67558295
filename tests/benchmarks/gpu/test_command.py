"""`make gpu` with tiny models on the CPU: every part runs, beside no more of ComfyUI than its documents say."""

import csv
import os
import subprocess
import sys

import pytest
from host import HOST, ROOT

pytestmark = pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
NEEDED = ("comfy", "comfy_api", "comfy_execution", "node_helpers.py", "comfyui_version.py")
# Packages of ComfyUI that `comfy/` does without.
NOT_NEEDED = ("aiohttp", "alembic", "av", "kornia", "sqlalchemy")
COMMAND = """
import sys
sys.modules.update(dict.fromkeys({not_needed}))
from benchmarks.gpu.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """(part, row) -> metric -> value, of a run of all parts."""
    folder = tmp_path_factory.mktemp("gpu")
    for name in NEEDED:
        (folder / name).symlink_to(HOST / name)
    what = ["--steps", "2", "--minutes", "60", "--results", str(folder)]
    command = [sys.executable, "-c", COMMAND.format(not_needed=NOT_NEEDED), *what]
    environment = os.environ | {"COMFYUI_PATH": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = (folder / "gpu-cpu.md").read_text(encoding="utf-8")
    assert "failed" not in report, done.stderr
    assert "Left out" not in report
    found = {}
    with (folder / "gpu-cpu.csv").open(newline="", encoding="utf-8") as file:
        assert "; CPU, " in next(file)
        for line in csv.DictReader(file):
            found.setdefault((line["part"], line["row"]), {})[line["metric"]] = float(line["value"])
            assert f"| {line['row']} |" in report
    return found


def of(values, part):
    return {row: numbers for (name, row), numbers in values.items() if name == part}


def test_a_step_and_the_bare_windows_of_each_family(values):
    steps = of(values, "steps")
    assert len(steps) == 3 * 2
    assert {(row["views"], row["model calls"]) for row in steps.values()} == {(3, 1)}
    assert all(row["times the bare model"] > 0.2 for row in steps.values())


def test_methods_look_as_often_as_they_must(values):
    methods = of(values, "methods")
    views = {name.removeprefix("sd15, "): row["views"] for name, row in methods.items()}
    assert views.pop("MSD, projected, moving windows") == views.pop("moving windows") + 1
    assert views == {
        "MultiDiffusion": 9,
        "MSD, projected": 10,
        "Sync, direct": 9,
        "MSD, gradient, with checkpoints": 19,
        "MSD, gradient, without checkpoints": 19,
    }
    longer, shorter = (methods[f"sd15, MSD, gradient, {word} checkpoints"]["seconds"] for word in ("with", "without"))
    assert longer > 0.8 * shorter


def test_the_profiler_sees_what_the_step_adds(values):
    counted = {name: row["operations"] for name, row in of(values, "kernels").items()}
    assert 1000 < counted["bare model"] < counted["MultiDiffusion"] < 1.5 * counted["bare model"]


def test_a_run_survives_when_memory_runs_out_and_leaves_nothing_behind(values):
    rows = of(values, "out_of_memory")
    filled = rows["filled in the first call"]
    assert (filled["rows of the first call"], filled["times that memory ran out"]) == (6, 1)
    assert filled["rows of the last call"] == 2
    assert filled["apart"] < 0.05
    assert rows["the next run"]["apart"] == 0


def test_windows_lose_no_precision(values):
    rows = of(values, "precision")
    one, windows = (rows[f"bf16, {name}"] for name in ("one native window without the pack", "MultiDiffusion"))
    assert 0 < windows["mean"] < 2 * one["mean"] < 0.1
    assert windows["finite"] == one["finite"] == 1


def test_a_compiled_model_compiles_once(values):
    graphs = {name: row["graphs compiled"] for name, row in of(values, "compiled").items()}
    assert graphs.pop("compiled, first run") > 0
    assert graphs == {"not compiled": 0, "compiled": 0}


def test_the_published_numbers_stand_beside_ours(values):
    rows = of(values, "twin_table")
    assert rows["MultiDiffusion, published: SD 2.0, A100"] == {"windows": 13, "steps": 50, "seconds": 43.92}
    assert rows["MultiDiffusion"]["seconds"] > 0
    assert len(rows) == 4


def test_sizes_and_decoding_are_there(values):
    assert {name: row["windows"] for name, row in of(values, "sizes").items()} == {
        "sd15, 64 x 128": 3,
        "sdxl, 64 x 128": 3,
    }
    assert [*of(values, "decoding")] == ["64 x 128, Panorama Decode", "64 x 128, VAE Decode"]

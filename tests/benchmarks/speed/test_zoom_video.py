"""The benchmark of zoom videos measures every frame of a consistent stack; times are for an idle machine."""

import json
from pathlib import Path

import pytest
from commands import python
from joint_diffusion.benchmarks.table import read

FEW = "--levels 3 --side 64 --frames 35 --formats mp4"
STACK = """
import json
from benchmarks.speed.zoom_video import P, PART, parts, stack
from demo.metrics import sharpness, zoom_inconsistency
levels = stack(3, 64)
turns = [len(part) for part in parts([0.0] * (2 * PART + 1))]
print(json.dumps([zoom_inconsistency(levels, P).max().item(), sharpness(levels).min().item(), turns]))
"""


def run(*command: str) -> str:
    done = python(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_stack_is_consistent_and_has_detail_at_every_level():
    inconsistency, sharpest, turns = json.loads(run("-c", STACK))
    assert inconsistency < 1e-6
    assert sharpest > 0.005
    assert turns == [60, 60, 1]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_speed_and_memory_of_a_video(tmp_path):
    run("-m", "benchmarks.speed.zoom_video", *FEW.split(), "--results", str(tmp_path))
    comments, lines = read(tmp_path / "zoom-video.csv")
    assert {line["row"] for line in lines} == {"libx264"}
    measured = {line["metric"]: float(line["value"]) for line in lines}
    assert measured["frames"] == 2 * 35 + 1
    assert measured.keys() > {"rendering, fps", "encoder alone, fps", "both, fps", "both over encoder alone"}
    assert all(0 < value < float("inf") for value in measured.values())
    assert measured["peak of a quarter, MiB"] < 500
    assert measured["peak, MiB"] < 500
    assert "3 levels of 64 x 64, 35 frames a level" in comments[1]

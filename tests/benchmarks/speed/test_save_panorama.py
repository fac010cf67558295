"""The benchmark of saving measures both ways on the same picture; times are for an idle machine."""

from pathlib import Path

import pytest
from commands import python
from host import HOST
from joint_diffusion.benchmarks.table import read


@pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_memory_of_both_ways(tmp_path):
    few = ["--width", "1024", "--height", "512", "--formats", "png", "--results", str(tmp_path)]
    done = python("-m", "benchmarks.speed.save_panorama", *few)
    assert done.returncode == 0, done.stderr
    rows = {}
    for line in read(tmp_path / "save-panorama.csv")[1]:
        rows.setdefault(line["row"], {})[line["metric"]] = float(line["value"])
    png, whole = rows["Save Panorama, png"], rows["Panorama Decode, Save Image"]
    assert abs(png["files, MiB"] / whole["files, MiB"] - 1) < 0.05
    assert "files, MiB" not in rows["one window, decoded and thrown away"]
    for row in rows.values():
        assert row["CPU seconds"] > 0
        assert row["in canvases of 8 bits"] * 1.5 == pytest.approx(row["peak memory, MiB"], rel=1e-3)

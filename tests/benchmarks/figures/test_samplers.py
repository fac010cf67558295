"""The benchmark of samplers runs; what it shows is in benchmarks/README.md."""

import pytest
from commands import python
from host import HOST
from joint_diffusion.benchmarks.table import read

FEW = "--seeds 2 --steps 2 --width 512 --samplers euler euler_cfg_pp"


@pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
def test_every_sampler_is_measured_with_every_method(tmp_path):
    done = python("-m", "benchmarks.figures.samplers", *FEW.split(), "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    values = {(line["row"], line["metric"]): float(line["value"]) for line in read(tmp_path / "samplers.csv")[1]}
    assert len(values) == 2 * 6
    for sampler in ("euler", "euler_cfg_pp"):
        stacked, ordered = (values[sampler, f"order violations, {method}"] for method in ("MultiDiffusion", "MSD"))
        assert 0 <= ordered < 0.6 * stacked
        plain, msd, both = (values[sampler, f"palette distance, {m}"] for m in ("MultiDiffusion", "MSD", "MSD + Sync"))
        assert 0 < both < 0.5 * msd
        assert plain != msd

"""The speed benchmark counts right, and its loops are those of the papers; times are for an idle machine."""

import oracles
import pytest
import torch
from commands import python
from host import HOST
from joint_diffusion.benchmarks.speed import literal
from joint_diffusion.benchmarks.table import read
from joint_diffusion.core.canvas.windows import Size, Window, plan_windows

WEIGHTS = torch.ones(8, 8, dtype=torch.float64)
needs_host = pytest.mark.skipif(HOST is None, reason="needs ComfyUI")


@pytest.fixture
def canvas():
    return torch.randn(1, 3, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def model(view, sigma):
    """Looks at neighbours, so that windows disagree."""
    return (view.roll(1, -1) + view.sin()) / (1 + sigma)


def plan(height, width):
    return plan_windows(Size(height, width), Size(8, 8), Size(4, 4))


def boxes(x):
    return literal.boxes(x.shape[-2:], 8, 4)


def test_boxes_are_the_windows(canvas):
    assert boxes(canvas) == list(plan(16, 24))


def test_the_loop_of_multidiffusion(canvas):
    slow = oracles.multidiffusion_step(canvas[0], 2.0, 1.4, model, plan(16, 24), WEIGHTS)
    torch.testing.assert_close(literal.multidiffusion(canvas, 2.0, 1.4, model, boxes(canvas))[0], slow)


def test_the_loop_of_multi_scale_diffusion(canvas):
    slow = oracles.msd_step(canvas[0], 2.0, 1.4, model, plan, WEIGHTS, omega=0.3, scales=2)
    torch.testing.assert_close(literal.multi_scale(canvas, 2.0, 1.4, model, 8, 4, 0.3)[0], slow)


def test_the_loop_of_sync_diffusion(canvas):
    def distance(denoised, reference):
        return (denoised - reference).square().sum()

    anchor = Window(4, 8, 8, 8)
    slow = oracles.sync_diffusion_step(
        canvas[0], 2.0, 1.4, model, plan(16, 24), WEIGHTS, 0.3, anchor, distance, scale=1.0
    )
    fast = literal.sync_diffusion(canvas, 2.0, 1.4, model, boxes(canvas), anchor, distance, 0.3)
    torch.testing.assert_close(fast[0], slow)


def speed(*arguments):
    done = python("-m", "benchmarks.speed", "--window", "8", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(path):
    rows = {}
    for line in read(path)[1]:
        rows.setdefault(line["row"], {})[line["metric"]] = float(line["value"])
    return rows


@needs_host
def test_every_way_does_the_same_in_as_many_calls_as_it_must(tmp_path):
    few = "--canvas 2 2 --widths 2 3 --steps 2 --steps-beside 2 --repetitions 1 --batch 4 --no-memory"
    speed(*few.split(), "--results", str(tmp_path))
    canvas, strip = table(tmp_path / "speed-demo.csv"), table(tmp_path / "speed-demo-strip.csv")
    counts = {name: (row["views"], row["model calls"]) for name, row in canvas.items()}
    moving, by_scales = (counts.pop(name)[0] for name in ("moving windows", "MSD, moving windows"))
    assert 4 <= moving <= 9
    assert by_scales == moving + 1
    assert counts == {
        "bare model": (9, 3),
        "MultiDiffusion": (9, 3),
        "TwinDiffusion's Crop Fusion": (9, 3),
        "MSD": (10, 4),
        "SyncDiffusion": (9, 3),
        "MSD, gradient": (19, 7),
        "SyncDiffusion, gradient": (18, 6),
        "MultiDiffusion, literal loop": (9, 9),
        "MSD, literal loop": (19, 19),
        "SyncDiffusion, literal loop": (18, 18),
    }
    compared = {name: row["apart"] for name, row in canvas.items() if "apart" in row}
    assert set(compared) == {"MultiDiffusion", "MSD, gradient", "SyncDiffusion, gradient"}
    assert all(0 < apart < 1e-3 for apart in compared.values())
    assert strip["Context Windows of ComfyUI"]["model calls"] == 3
    assert strip["MultiDiffusion"]["model calls"] == 1
    assert strip["Context Windows of ComfyUI"]["apart"] < 1e-3
    widths = table(tmp_path / "speed-demo-width.csv")
    assert [row["windows"] for row in widths.values() if "windows" in row] == [9, 15]
    assert set(widths["fit"]) == {"seconds per window", "seconds beside them", "exponent"}
    for name in ("speed-demo-beside.csv", "speed-demo-beside-strip.csv"):
        assert all(row["milliseconds"] > 0 for row in table(tmp_path / name).values())


@needs_host
def test_memory_is_measured_in_a_process_of_its_own():
    assert 0 < float(speed("--canvas", "1", "2", "--peak", "MultiDiffusion")) < 500

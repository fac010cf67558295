"""What joint sampling costs beside the model itself.

    python -m benchmarks.windows

Prints, measured side by side in one run: the time of a joint step over that of the same windows through the bare model
at the same batch size; model calls against the least possible; peak memory at canvas widths 1 : 4 : 16; and what each
method costs relative to MultiDiffusion. Medians over interleaved repetitions.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from core.cost import views_per_step
from core.joint_step import JointParams, denoise_step
from core.multidiffusion import WindowParams
from core.multiscale import MultiScaleParams
from core.step import Step
from core.syncdiffusion import SyncParams
from core.twindiffusion import CropFusionParams
from core.windows import Size, canvas_size, crop_batch
from demo.autoencoder import CHANNELS
from demo.model import DOWNSAMPLING
from demo.pipeline import LandscapePipeline

CFG = 2.0
SIGMA = 1.5
STEP = Step(sigma=SIGMA, kept=0.8, index=0, count=20)
WINDOW, STRIDE, BATCH = Size(16, 16), Size(8, 8), 8
TALL = 32  # two windows


def median_times(repetitions: int, *candidates: Callable[[], Tensor]) -> list[float]:
    """Median seconds of each candidate; they take turns, so that a busy machine slows all of them alike.

    On a CPU these are seconds of this process, in which the waiting for other processes does not count.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times: list[list[float]] = [[] for _ in candidates]
    for turn in range(repetitions + 1):
        for candidate, measured in zip(candidates, times, strict=True):
            start = clock()
            candidate()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first one warms up
                measured.append(clock() - start)
    return [statistics.median(measured) for measured in times]


def peak_memory(work: Callable[[], object], device: str) -> float:
    """How far the memory of this process, or of the GPU, rises above what it was before, in MiB."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far, which loading the model made
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


class Bench:
    """The bundled model on a random canvas of 32 x 128 cells (2 x 8 windows)."""

    def __init__(self, device: str):
        self.pipeline = LandscapePipeline(device)
        self.context = self.pipeline.encode(["summer day"])
        self.windows = WindowParams(window=WINDOW, stride=STRIDE, batch=BATCH, grid=DOWNSAMPLING)
        self.device = device

    def canvas(self, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(1, CHANNELS, TALL, width, generator=generator).to(self.device) * SIGMA

    def denoise(self, views: Tensor, sigma: float, _windows=(), _canvas=None) -> Tensor:
        return self.pipeline.denoise(views, sigma, self.context, CFG)

    def bare(self, x: Tensor) -> Callable[[], Tensor]:
        """The windows through the model, already cut and never fused."""
        plan = self.windows.plan(canvas_size(x))
        batches = [crop_batch(x, batch).clone() for batch in self.windows.batches(plan)]
        return lambda: [self.denoise(views, SIGMA) for views in batches][-1]

    def joint(self, x: Tensor, params: JointParams) -> Callable[[], Tensor]:
        return lambda: denoise_step(x, STEP, self.denoise, params)


def step_cost(bench: Bench, repetitions: int) -> None:
    x = bench.canvas(128)
    plain = JointParams(windows=bench.windows)
    methods = {
        "MultiDiffusion": plain,
        "TwinDiffusion's Crop Fusion": replace(plain, crop_fusion=CropFusionParams()),
        "MSD jacobian_free": replace(plain, multiscale=MultiScaleParams()),
        "MSD matched": replace(plain, multiscale=MultiScaleParams(target="matched")),
        "MSD literal": replace(plain, multiscale=MultiScaleParams(target="literal")),
        "SyncDiffusion jacobian_free": replace(plain, sync=SyncParams()),
        "SyncDiffusion": replace(plain, sync=SyncParams(jacobian_free=False)),
        "MSD and SyncDiffusion jacobian_free": replace(plain, multiscale=MultiScaleParams(), sync=SyncParams()),
    }
    steps = {name: bench.joint(x, params) for name, params in methods.items()}
    bare, joint, *others = median_times(repetitions, bench.bare(x), *steps.values())
    least = len(bench.windows.plan(canvas_size(x)))
    print(f"One step, {TALL} x 128 cells, {least} windows of {WINDOW.height} x {WINDOW.width}, {BATCH} a batch\n")
    print("| step | views denoised | least possible | seconds | over bare windows | over MultiDiffusion |")
    print("|---|---|---|---|---|---|")
    print(f"| bare model | {least} | {least} | {bare:.3f} | 1 | |")
    for (name, params), seconds in zip(methods.items(), (joint, *others), strict=True):
        before = bench.pipeline.model_calls
        steps[name]()
        views = bench.pipeline.model_calls - before
        minimum = views_per_step(canvas_size(x), params, STEP)
        print(f"| {name} | {views} | {minimum} | {seconds:.3f} | {seconds / bare:.3f} | {seconds / joint:.2f} |")


def memory(device: str) -> None:
    """Each width in a process of its own, because memory that was used once is not all given back."""
    print("\nPeak memory of one joint step above that of the loaded model\n")
    print("| canvas | canvas tensor, MiB | peak, MiB |\n|---|---|---|")
    for width in (128, 512, 2048):
        code = (
            "import torch; torch.set_grad_enabled(False)\n"
            "from benchmarks.windows import Bench, JointParams, peak_memory\n"
            f"bench = Bench({device!r})\n"
            f"step = bench.joint(bench.canvas({width}), JointParams(windows=bench.windows))\n"
            f"print(peak_memory(step, {device!r}))"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        tensor = CHANNELS * TALL * width * 4 / 2**20
        print(f"| {TALL} x {width} | {tensor:.2f} | {float(run.stdout):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads\n")
    step_cost(Bench(args.device), args.repetitions)
    memory(args.device)


if __name__ == "__main__":
    main()

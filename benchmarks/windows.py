"""What joint sampling costs beside the model itself.

    python -m benchmarks.windows

Prints, measured side by side in one run: the time of a joint step over that of the same windows through the bare model
at the same batch size; model calls against the least possible; peak memory at canvas widths 1 : 4 : 16; and what each
target of Multi-Scale Diffusion costs relative to MultiDiffusion. Medians over interleaved repetitions.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from core.cost import views_per_step
from core.multidiffusion import WindowParams, denoise_jointly
from core.multiscale import MultiScaleParams, Step, denoise_multiscale
from core.windows import Size, canvas_size, crop_batch
from demo.autoencoder import CHANNELS
from demo.model import DOWNSAMPLING
from demo.pipeline import LandscapePipeline

SIGMA, SIGMA_NEXT, CFG = 1.5, 1.2, 2.0
WINDOW, STRIDE, BATCH = Size(16, 16), Size(8, 8), 8
TALL = 32  # two windows


def median_times(repetitions: int, *candidates: Callable[[], Tensor]) -> list[float]:
    """Median seconds of each candidate; they take turns, so that a busy machine slows all of them alike."""
    times: list[list[float]] = [[] for _ in candidates]
    for turn in range(repetitions + 1):
        for candidate, measured in zip(candidates, times, strict=True):
            start = time.perf_counter()
            candidate()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first one warms up
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def peak_memory() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
        batches = [crop_batch(x, batch).clone() for batch in self.windows.batches(canvas_size(x))]
        return lambda: [self.denoise(views, SIGMA) for views in batches][-1]

    def joint(self, x: Tensor) -> Callable[[], Tensor]:
        return lambda: denoise_jointly(x, SIGMA, self.denoise, self.windows)

    def guided(self, x: Tensor, target: str, weight: float = 10.0) -> Callable[[], Tensor]:
        step = Step(sigma=SIGMA, kept=SIGMA_NEXT / SIGMA, progress=0.0)
        params = MultiScaleParams(target=target, weight=weight)
        return lambda: denoise_multiscale(x, step, self.denoise, self.windows, params)


def step_cost(bench: Bench, repetitions: int) -> None:
    x = bench.canvas(128)
    targets = ("jacobian_free", "matched", "literal")
    candidates = [bench.bare(x), bench.joint(x), *(bench.guided(x, target) for target in targets)]
    bare, joint, *guided = median_times(repetitions, *candidates)
    least = len(bench.windows.plan(canvas_size(x)))
    print(f"One step, {TALL} x 128 cells, {least} windows of {WINDOW.height} x {WINDOW.width}, {BATCH} a batch\n")
    print("| step | views denoised | least possible | seconds | over bare windows | over MultiDiffusion |")
    print("|---|---|---|---|---|---|")
    print(f"| bare model | {least} | {least} | {bare:.3f} | 1 | |")
    named = [("MultiDiffusion", None, joint)]
    named += [(f"MSD {target}", MultiScaleParams(target=target), t) for target, t in zip(targets, guided, strict=True)]
    for name, params, seconds in named:
        before = bench.pipeline.model_calls
        (bench.joint(x) if params is None else bench.guided(x, params.target))()
        views = bench.pipeline.model_calls - before
        minimum = views_per_step(canvas_size(x), bench.windows, params)
        print(f"| {name} | {views} | {minimum} | {seconds:.3f} | {seconds / bare:.3f} | {seconds / joint:.2f} |")


def memory(device: str) -> None:
    """Each width in a process of its own, since a peak does not come down again."""
    print("\nPeak memory of one joint step above that of the narrowest canvas\n")
    print("| canvas | canvas tensor, MiB | peak, MiB | growth, MiB | growth in canvas tensors |\n|---|---|---|---|---|")
    first: tuple[float, float] | None = None
    for width in (128, 512, 2048):
        code = (
            "import torch; torch.set_grad_enabled(False)\n"
            "from benchmarks.windows import Bench, peak_memory\n"
            f"bench = Bench({device!r}); bench.joint(bench.canvas({width}))(); print(peak_memory())"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peak, tensor = float(run.stdout), CHANNELS * TALL * width * 4 / 2**20
        first = first or (peak, tensor)
        growth, more = peak - first[0], tensor - first[1]
        ratio = f"{growth / more:.1f}" if more else ""
        print(f"| {TALL} x {width} | {tensor:.2f} | {peak:.0f} | {growth:.1f} | {ratio} |", flush=True)


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

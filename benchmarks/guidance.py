"""SyncDiffusion in batches of windows against Algorithm 1 of its paper as it stands there, side by side in one run.

    python -m benchmarks.guidance
    python -m benchmarks.guidance --device cuda --widen 5    the model with 5 times the channels, random weights

The literal loop looks at the anchor in a pass of its own, takes the gradient of one window after the other and steps
one after the other, in plain autograd. Both must give the same canvas. Times are medians over interleaved
repetitions of one guided step on 1 x 8 windows; peak memory is that of a process which did nothing else.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from core.fusion import fuse, fusion_precision, shared_weights
from core.joint_step import JointParams, denoise_step
from core.similarity import LatentSimilarity
from core.step import Step
from core.syncdiffusion import SyncParams
from core.windows import canvas_size, crop
from demo.model import LandscapeUNet

from .windows import CHANNELS, SIGMA, WINDOW, Bench, median_times, peak_memory

CANVAS = (WINDOW.height, 8 * WINDOW.width)
STEP = Step(sigma=SIGMA, kept=0.8, index=0, count=20)
SAME = {False: 1e-5, True: 2e-2}  # of the largest value, by bfloat16: convolutions of other batches round otherwise
WAYS = ("literal", "batched", "literal, jacobian_free", "batched, jacobian_free")


class Guided:
    """One guided step of the bundled model, by either way."""

    def __init__(self, args: argparse.Namespace):
        self.bench, self.bfloat16 = Bench(args.device), args.bfloat16
        if args.widen > 1:
            widths = (64 * args.widen, 96 * args.widen, 128 * args.widen)
            unet = LandscapeUNet(CHANNELS, widths, device=args.device).eval().requires_grad_(False)
            self.bench.pipeline.unet = unet.to(memory_format=torch.channels_last)
        self.windows = replace(self.bench.windows, batch=args.batch)
        noise = torch.randn(1, CHANNELS, *CANVAS, generator=torch.Generator().manual_seed(0))
        self.x = noise.to(args.device) * SIGMA

    def step(self, way: str) -> Tensor:
        """x at the next noise level."""
        params = SyncParams(jacobian_free="jacobian_free" in way)
        return self.literal(params) if way.startswith("literal") else self.batched(params)

    def batched(self, params: SyncParams) -> Tensor:
        """By the core."""
        joint = JointParams(windows=self.windows, sync=params)
        return STEP.kept * self.x + (1 - STEP.kept) * denoise_step(self.x, STEP, self.bench.denoise, joint)

    def literal(self, params: SyncParams) -> Tensor:
        """Algorithm 1, line by line."""
        plan, similarity, weight = self.windows.plan(canvas_size(self.x)), LatentSimilarity(), params.weight_at(STEP)
        anchor = params.anchor_of(plan, canvas_size(self.x))[plan[0]]
        reference = similarity.features(self.bench.denoise(crop(self.x, anchor), SIGMA))
        moved = {}
        for window in plan:
            view = crop(self.x, window)
            if window != anchor:
                with torch.enable_grad():
                    leaf = view.clone().requires_grad_()
                    if params.jacobian_free:
                        leaf = self.bench.denoise(view, SIGMA).detach().requires_grad_()
                    denoised = leaf if params.jacobian_free else self.bench.denoise(leaf, SIGMA)
                    loss = similarity.distance(denoised, reference).sum()
                    (gradient,) = torch.autograd.grad(loss, leaf)
                view = view - weight * gradient
            moved[window] = view
        stepped = []
        for view in moved.values():
            denoised = self.bench.denoise(view, SIGMA)
            stepped.append(denoised + STEP.kept * (view - denoised))
        weights = shared_weights(self.windows.weights, plan, self.x.device, fusion_precision(self.x))
        return fuse(self.x, torch.cat(stepped), plan, weights)


def speed(guided: Guided, repetitions: int) -> None:
    results = {way: guided.step(way) for way in WAYS}
    for ours, theirs in (("batched", "literal"), ("batched, jacobian_free", "literal, jacobian_free")):
        off = (results[ours] - results[theirs]).abs().max() / results[theirs].abs().max()
        if off > SAME[guided.bfloat16]:
            sys.exit(f"{ours} and {theirs} differ by {off:.1e} of the largest value")
        print(f"{ours} and {theirs} agree to {off:.1e} of the largest value")

    def run(way: str) -> Callable[[], Tensor]:
        return lambda: guided.step(way)

    seconds = dict(zip(WAYS, median_times(repetitions, *map(run, WAYS)), strict=True))
    print("\n| one guided step | views denoised | seconds | times as fast as the literal loop |\n|---|---|---|---|")
    for way in WAYS:
        before = guided.bench.pipeline.model_calls
        guided.step(way)
        views = guided.bench.pipeline.model_calls - before
        print(f"| {way} | {views} | {seconds[way]:.4f} | {seconds['literal'] / seconds[way]:.2f} |")


def memory() -> None:
    """Each way in a process of its own, because memory that was used once is not all given back."""
    print("\n| one guided step | peak memory above the loaded model's, MiB |\n|---|---|")
    for way in WAYS:
        run = [sys.executable, "-m", "benchmarks.guidance", *sys.argv[1:], "--peak", way]
        peak = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
        print(f"| {way} | {peak:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--batch", type=int, default=0, help="windows in one model call; 0 is all")
    parser.add_argument("--widen", type=int, default=1, help="times the channels of the bundled model, random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    with torch.autocast(args.device, torch.bfloat16, enabled=args.bfloat16):
        guided = Guided(args)
        if args.peak:
            print(peak_memory(lambda: guided.step(args.peak), args.device))
            return
        precision = "bfloat16" if args.bfloat16 else "float32"
        print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, {precision}\n")
        speed(guided, args.repetitions)
        memory()


if __name__ == "__main__":
    main()

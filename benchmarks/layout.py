"""Does Multi-Scale Diffusion order the layout, and at what price in colour? On the bundled model, whose world is known.

    python -m benchmarks.layout                    MultiDiffusion and MSD at its default, 2 x 8 windows
    python -m benchmarks.layout --weights 0 2 10   the ablation over the weight (MSD Fig. 5), for every target

Every row paints the same seeds and prompts. Printed are means over the panoramas, with the standard error of the mean.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import replace

import torch

from core.multiscale import MultiScaleParams
from demo.panorama import PanoramaParams, measure_panorama, paint_panorama
from demo.pipeline import LandscapePipeline

SCENE = "sky mountains forest meadow"
PROMPTS = (f"summer day {SCENE}", f"autumn dusk {SCENE}", f"winter dawn {SCENE}")
TARGETS = ("literal", "matched", "jacobian_free")
COLUMNS = ("order_violations_per_column", "palette_deviation", "palette_distance", "seam_energy")


def row(pipeline: LandscapePipeline, variants: Iterable[PanoramaParams]) -> dict[str, list[float]]:
    """What was measured on each panorama, by column."""
    measured: dict[str, list[float]] = {name: [] for name in (*COLUMNS, "seconds", "model_calls")}
    for params in variants:
        start = time.perf_counter()
        image, calls = paint_panorama(pipeline, params)
        measured["seconds"].append(time.perf_counter() - start)
        measured["model_calls"].append(calls)
        for name, value in measure_panorama(image, params.prompt, params.stride).items():
            measured[name].append(value)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return measured


def show(label: str, measured: dict[str, list[float]]) -> None:
    """One line of the table."""
    cells = []
    for name in COLUMNS:
        values = measured[name]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        cells.append(f"{statistics.mean(values):.3f} ± {error:.3f}")
    cells += [f"{statistics.mean(measured['model_calls']):.0f}", f"{statistics.mean(measured['seconds']):.1f}"]
    print(f"| {label} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12, help="panoramas per prompt")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--weights", type=float, nargs="+", help="ablation: these weights, for every target")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS, help="ablation: these targets")
    parser.add_argument("--steps", type=int, default=PanoramaParams().steps)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    args = parser.parse_args()
    with torch.autocast(args.device, torch.bfloat16, enabled=args.bfloat16):
        compare(LandscapePipeline(args.device), args)


def compare(pipeline: LandscapePipeline, args: argparse.Namespace) -> None:
    """Print the table."""
    plain = [
        PanoramaParams(prompt=prompt, seed=seed, steps=args.steps, height=args.height, width=args.width)
        for prompt, seed in itertools.product(args.prompts, range(args.seeds))
    ]
    print(f"{args.seeds} seeds x {len(args.prompts)} prompts a row, {args.height} x {args.width} pixels\n")
    print(f"| method | {' | '.join(name.replace('_', ' ') for name in COLUMNS)} | model calls | seconds |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    baseline = row(pipeline, plain)
    show("MultiDiffusion", baseline)
    if args.weights:
        for target, weight in itertools.product(args.targets, args.weights):
            multiscale = MultiScaleParams(target=target, weight=weight)
            guided = [replace(params, multiscale=multiscale) for params in plain]
            show(f"MSD {target}, weight {weight:g}", row(pipeline, guided))
        return
    default = row(pipeline, [replace(params, multiscale=MultiScaleParams()) for params in plain])
    show("MSD, default", default)
    for name in ("order_violations_per_column", "palette_deviation"):
        ratio = statistics.mean(default[name]) / statistics.mean(baseline[name])
        print(f"\n{name.replace('_', ' ')}, MSD / MultiDiffusion: {ratio:.2f}")


if __name__ == "__main__":
    main()

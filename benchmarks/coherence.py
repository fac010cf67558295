"""Does SyncDiffusion give a panorama one palette, and what of its windows? On the bundled model, palettes left open.

    python -m benchmarks.coherence                         against MultiDiffusion, 1 x 8 windows
    python -m benchmarks.coherence --weights 0 5 10 20 40  the ablation over the weight (Fig. 5 of the paper)
    python -m benchmarks.coherence --rows 2                its anchors, and together with the other methods, 2 x 8

Every row paints the same seeds. Printed are means over the panoramas, with the standard error of the mean:

- palette and style distance between native windows that do not touch: lower is more coherent
- window deviation: of every native window from the best palette of all: how good single windows are
- diversity: distance of the palettes of different seeds
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.coherence import palette_distance, palette_diversity, style_distance
from core.syncdiffusion import SyncParams
from demo.autoencoder import FACTOR
from demo.metrics import order_violations_per_column, window_deviation
from demo.panorama import METHODS, NATIVE, PanoramaParams, distant_strips, measure_panorama
from demo.pipeline import LandscapePipeline

from .paint import Painted, header, paint, row

WINDOW = FACTOR * NATIVE  # pixels
FREE = "far sky mountains forest meadow"  # no season and no hour: every window may choose its own
COLUMNS: dict[str, Callable[[Tensor], Tensor]] = {
    "palette distance": lambda images: palette_distance(images, distant_strips(images)),
    "style distance": lambda images: style_distance(images, distant_strips(images)),
    "window deviation": lambda images: window_deviation(images, FREE),
    "order violations per column": order_violations_per_column,
    "diversity": palette_diversity,
    "seam energy": lambda images: torch.tensor([measure_panorama(i[None], FREE)["seam_energy"] for i in images]),
}


class Comparison:
    """Rows of one table: the same seeds by different methods."""

    def __init__(self, pipeline: LandscapePipeline, args: argparse.Namespace):
        self.pipeline = pipeline
        size = {"height": args.rows * WINDOW, "width": args.windows * WINDOW}
        self.variants = [PanoramaParams(prompt=FREE, seed=seed, steps=args.steps, **size) for seed in range(args.seeds)]
        print(f"{args.seeds} seeds, {args.rows} x {args.windows} windows, {args.steps} steps, prompt: {FREE}\n")
        header("method", [*COLUMNS, "model calls"])

    def show(self, label: str, **method: Any) -> Painted:
        """Paint and measure one row; `method` has fields of `PanoramaParams`."""
        painted = paint(self.pipeline, [replace(params, **method) for params in self.variants])
        row(label, [*(measure(painted.images) for measure in COLUMNS.values()), painted.model_calls])
        return painted


def against_multidiffusion(table: Comparison) -> None:
    """Windows on their own have no canvas, so they show how good a window can be, and how different two are."""
    plain = table.show("MultiDiffusion")
    sync = table.show("SyncDiffusion, default", sync=SyncParams())
    count = len(table.variants)
    alone = paint(
        table.pipeline, [replace(table.variants[0], width=WINDOW, seed=1000 + i) for i in range(2 * count)]
    ).images
    print(f"\nWindows painted alone: window deviation {window_deviation(alone, FREE).mean():.3f}, ", end="")
    print(f"distance of their palettes {palette_diversity(alone).mean():.3f}\n")
    for name in ("palette distance", "style distance", "window deviation", "diversity"):
        before, after = (COLUMNS[name](painted.images).mean().item() for painted in (plain, sync))
        print(f"{name}, SyncDiffusion / MultiDiffusion: {after / before:.2f}")
    off = paint(table.pipeline, [replace(params, sync=SyncParams(weight=0.0)) for params in table.variants[:1]])
    print(f"weight 0 equals MultiDiffusion bit for bit: {torch.equal(off.images[0], plain.images[0])}")


def over_weights(table: Comparison, weights: list[float]) -> None:
    """As the paper's Fig. 5, with the gradient taken through the model and beside it."""
    for jacobian_free, weight in itertools.product((True, False), weights):
        label = f"{'jacobian_free' if jacobian_free else 'through the model'}, weight {weight:g}"
        table.show(label, sync=SyncParams(weight=weight, jacobian_free=jacobian_free))


def together(table: Comparison) -> None:
    """Anchors, and the methods in one run."""
    table.show("MultiDiffusion")
    table.show("SyncDiffusion, one anchor per row", sync=SyncParams(anchors="one per row"))
    table.show("SyncDiffusion, one anchor", sync=SyncParams(anchors="one"))
    table.show("MSD", **METHODS["msd"])
    table.show("MSD and SyncDiffusion, one anchor per row", **METHODS["msd"], sync=SyncParams(anchors="one per row"))
    table.show("MSD and SyncDiffusion, one anchor", **METHODS["msd"], sync=SyncParams(anchors="one"))
    table.show("all methods", **METHODS["full"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--weights", type=float, nargs="+", help="ablation: these weights")
    parser.add_argument("--rows", type=int, default=1, help="windows from top to bottom; 2 shows the methods together")
    parser.add_argument("--windows", type=int, default=8, help="windows from left to right")
    parser.add_argument("--steps", type=int, default=PanoramaParams().steps)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    args = parser.parse_args()
    with torch.autocast(args.device, torch.bfloat16, enabled=args.bfloat16):
        table = Comparison(LandscapePipeline(args.device), args)
        if args.weights:
            over_weights(table, args.weights)
        elif args.rows > 1:
            together(table)
        else:
            against_multidiffusion(table)


if __name__ == "__main__":
    main()

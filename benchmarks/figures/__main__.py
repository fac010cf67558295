"""The figures of the papers on the bundled model, whose world is known: one command each.

    python -m benchmarks.figures msd
    python -m benchmarks.figures sync --seeds 4 --steps 8
    python -m benchmarks.figures twin --weights feathered

Each prints a table and writes it and a plot to benchmarks/results/. Pictures are kept, so a run that was stopped goes
on where it was. `measures.py` says what the metrics are, `figures.py` what is painted for each figure.
"""

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from demo.autoencoder import CHANNELS
from demo.panorama import PanoramaParams, paint_panorama
from demo.pipeline import AUTOENCODER, DENOISER, LandscapePipeline

from ..table import RESULTS, Table, Value
from .features import WINDOW, FeatureNetwork, load_features
from .gallery import KEPT, Gallery, Kept
from .measures import SETS, Row, all_features, measure
from .panoramas import FIGURES, Figure, Line
from .plots import Point, draw
from .truth import true_panorama
from .zooms import zoom_figure

TRUE_PICTURES = 48  # for FID and KID
ALONE = 1000  # seeds of windows painted alone, and of true pictures in a row of the table, start here


class Painter:
    """Paints the rows of a figure, or takes them from the gallery."""

    def __init__(self, pipeline: LandscapePipeline, gallery: Gallery, figure: Figure, bfloat16: bool):
        self.pipeline, self.gallery, self.figure, self.bfloat16 = pipeline, gallery, figure, bfloat16

    def row(self, line: Line) -> list[Kept]:
        """A panorama for every prompt and seed."""
        kept = []
        for prompt in self.figure.prompts:
            for seed in range(self.figure.seeds):
                params = PanoramaParams(prompt=prompt, seed=seed, **self.figure.fields(line))
                kept.append(self.picture(line.source, params))
                print(f"\r{line.label}: {len(kept)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return kept

    def picture(self, source: str, params: PanoramaParams) -> Kept:
        """One panorama."""
        if source == "world":
            return self.true_picture(params.prompt, ALONE + params.seed)
        if source == "alone":
            return self.gallery.picture(("alone", params), lambda: self.alone(params))
        if source == "without map":
            return self.gallery.picture(("without map", params), lambda: self.joint(params, self.without_map))
        return self.gallery.picture(params, lambda: self.joint(params))

    def joint(self, params: PanoramaParams, pipeline: LandscapePipeline | None = None) -> tuple[Tensor, int]:
        """By the core."""
        with torch.autocast(self.pipeline.device.type, torch.bfloat16, enabled=self.bfloat16):
            image, views = paint_panorama(pipeline or self.pipeline, params)
        return image[0], views

    @cached_property
    def without_map(self) -> LandscapePipeline:
        """The same model, but the latents of small pictures are taken for those of large ones."""
        pipeline = deepcopy(self.pipeline)
        pipeline.autoencoder.half_matrix.copy_(torch.eye(CHANNELS))
        pipeline.autoencoder.half_offset.zero_()
        return pipeline

    def alone(self, params: PanoramaParams) -> tuple[Tensor, int]:
        """Native windows side by side that know nothing of each other."""
        seeds = range(ALONE + params.seed * self.figure.columns, ALONE + (params.seed + 1) * self.figure.columns)
        painted = [self.joint(replace(params, width=WINDOW, seed=seed)) for seed in seeds]
        return torch.cat([image for image, _ in painted], dim=2), sum(calls for _, calls in painted)

    def true_picture(self, prompt: str, seed: int) -> Kept:
        """From the world."""
        size = self.figure.size
        return self.gallery.picture(("world", prompt, seed, size), lambda: (true_panorama(prompt, seed, **size), 0))

    def truth(self, network: FeatureNetwork) -> Tensor:
        """(windows, 64) features of true pictures of all prompts."""
        prompts = self.figure.prompts
        images = [self.true_picture(prompts[seed % len(prompts)], seed).image for seed in range(TRUE_PICTURES)]
        return torch.cat([all_features(network, image) for image in images])


def show(name: str, figure: Figure, painter: Painter, device: str, results: Path) -> None:
    """Paint, measure, print, write and draw one figure."""
    prompts = [prompt for prompt in figure.prompts for _ in range(figure.seeds)]
    of_each = f" ({figure.seeds} for each of {len(figure.prompts)} prompts)" if len(figure.prompts) > 1 else ""
    steps = ", ".join(str(steps) for steps in sorted({fields["steps"] for fields in map(figure.fields, figure.lines)}))
    note = (
        f"{figure.of}. {len(prompts)} panoramas a row{of_each}, "
        f"{figure.rows} x {figure.columns} windows, {steps} steps; in brackets 95 % bootstrap intervals."
    )
    table = Table(name, figure.first_column, figure.metrics, note=note, device=device)
    network = load_features()
    truth = painter.truth(network) if SETS.keys() & set(figure.metrics) else None
    panels: dict[str, list[Point]] = {metric: [] for metric in figure.drawn}
    measured: dict[str, dict[str, Value]] = {}
    for line in figure.lines:
        stride = PanoramaParams(**figure.fields(line)).stride
        row = Row(kept=painter.row(line), prompts=prompts, stride=stride, network=network, truth=truth)
        values = measure(row, figure.metrics)
        if line.label not in measured:
            table.row(line.label, values, panoramas=len(prompts))
        measured[line.label] = values
        x = values.get(figure.axis, line.x)
        for metric in figure.drawn:
            panels[metric].append(Point(line.label, values[metric], x, line.series))
    table.save(results)
    draw(results / f"{name}.svg", figure.of, panels, figure.axis, figure.log)
    print(f"{painter.gallery.painted} pictures painted, all others were there", file=sys.stderr)


def chosen(args: argparse.Namespace) -> tuple[str, Figure]:
    """The figure with what the command line changes, and its name."""
    name, figure = args.figure, FIGURES[args.figure]
    changes = {field: getattr(args, field) for field in ("seeds", "columns", "steps") if getattr(args, field)}
    if args.weights:
        name, changes["common"] = f"{name}-{args.weights}", {**figure.common, "weights": args.weights}
    return name, replace(figure, **changes)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", choices=[*FIGURES, "zoom"])
    parser.add_argument("--seeds", type=int, help="panoramas per prompt")
    parser.add_argument("--columns", type=int, help="windows from left to right")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--weights", choices=("uniform", "feathered", "gaussian"), help="of pixels in a window")
    parser.add_argument("--out", type=Path, default=KEPT, help="where pictures are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where table and plot go")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    return parser.parse_args(arguments)


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    args = options(arguments)
    gallery = Gallery(args.out, (DENOISER, AUTOENCODER), device=args.device, bfloat16=args.bfloat16)
    pipeline = LandscapePipeline(args.device)
    if args.figure == "zoom":
        zoom_figure(pipeline, gallery, args)
    else:
        name, figure = chosen(args)
        show(name, figure, Painter(pipeline, gallery, figure, args.bfloat16), args.device, args.results)


if __name__ == "__main__":
    main()

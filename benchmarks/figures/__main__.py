"""The figures of the papers on a model whose world is known: one command each.

    python -m benchmarks.figures msd
    python -m benchmarks.figures sync --seeds 4 --steps 8
    python -m benchmarks.figures twin --weights feathered
    python -m benchmarks.figures msd --world town

Each prints a table and writes it and a plot to benchmarks/results/. Pictures are kept, so a run that was stopped goes
on where it was. `measures.py` says what the metrics are, `panoramas.py` what is painted for each figure.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from demo.panorama import PanoramaParams
from demo.pipeline import LandscapePipeline

from ..table import RESULTS, Table, Value
from ..worlds import WORLDS, add_world, table_name
from .compiled import Compiled
from .enlarging import enlarge_figure
from .features import load_features
from .gallery import KEPT, Gallery
from .measures import COMPARED, Row, measure
from .painter import Painter, painted_by
from .panoramas import FIGURES, Figure
from .plots import Point, draw, middle
from .zoom_levels import zoom_levels_figure
from .zooms import zoom_figure

ENLARGING = {"enlarge": 2, "enlarge-4": 4}
ZOOMING = {"zoom": 2, "zoom-4": 4}
ZOOM_LEVELS = "zoom-levels"


def show(name: str, figure: Figure, painter: Painter, device: str, results: Path) -> None:
    """Paint, measure, print, write and draw one figure."""
    prompts = [prompt for prompt in painter.prompts for _ in range(figure.seeds)]
    of_each = f" ({figure.seeds} for each of {len(painter.prompts)} prompts)" if len(painter.prompts) > 1 else ""
    steps = ", ".join(str(steps) for steps in sorted({fields["steps"] for fields in map(figure.fields, figure.lines)}))
    note = (
        f"{figure.of}. {len(prompts)} panoramas a row{of_each}, "
        f"{figure.rows} x {figure.columns} windows, {steps} steps; in brackets 95 % bootstrap intervals."
    )
    table = Table(name, figure.first_column, figure.metrics, note=note, device=device)
    world = painter.pipeline.world
    network = load_features(world.name)
    truth = painter.truth(network) if COMPARED & set(figure.metrics) else None
    panels: dict[str, list[Point]] = {metric: [] for metric in figure.drawn}
    measured: dict[str, dict[str, Value]] = {}
    for line in figure.lines:
        stride = PanoramaParams(**figure.fields(line)).stride
        row = Row(kept=painter.row(line), prompts=prompts, stride=stride, network=network, world=world, truth=truth)
        values = measure(row, figure.metrics)
        if line.label not in measured:
            table.row(line.label, values, panoramas=len(prompts))
        measured[line.label] = values
        x = middle(values[figure.axis]) if figure.axis in values else line.x
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
    return table_name(name, WORLDS[args.world]), replace(figure, **changes)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("figure", choices=[*FIGURES, *ZOOMING, ZOOM_LEVELS, *ENLARGING])
    add_world(parser)
    parser.add_argument("--seeds", type=int, help="panoramas per prompt")
    parser.add_argument("--columns", type=int, help="windows from left to right")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--weights", choices=("uniform", "feathered", "gaussian"), help="of pixels in a window")
    parser.add_argument("--out", type=Path, default=KEPT, help="where pictures are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where table and plot go")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    parser.add_argument("--compile", action="store_true", help="and compiled: faster again; needs a C++ compiler")
    args = parser.parse_args(arguments)
    if args.compile and not args.bfloat16:
        parser.error("--compile: what is compiled computes in bfloat16; give --bfloat16 too.")
    return args


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    args = options(arguments)
    world = WORLDS[args.world]
    pipeline = LandscapePipeline(args.device, world)
    if args.compile:
        pipeline.unet = Compiled(pipeline.unet)
    gallery = Gallery(args.out, painted_by(world), device=args.device, bfloat16=args.bfloat16, compiled=args.compile)
    if args.figure in ZOOMING:
        zoom_figure(pipeline, gallery, args, ZOOMING[args.figure])
    elif args.figure == ZOOM_LEVELS:
        zoom_levels_figure(pipeline, gallery, args)
    elif args.figure in ENLARGING:
        enlarge_figure(pipeline, gallery, args, ENLARGING[args.figure])
    else:
        name, figure = chosen(args)
        show(name, figure, Painter(pipeline, gallery, figure, args.bfloat16), args.device, args.results)


if __name__ == "__main__":
    main()

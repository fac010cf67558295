"""The ablations of Generative Powers of Ten, section 5.3, on the bundled model: what each part is there for.

independent         every level sampled for itself
naive averaging     observations enlarged and averaged, without a pyramid
no shared noise     each level its own noise
iterative update    each level takes what the levels inside it show, from the innermost outwards, without blending
ours                blending, rendering and shared noise

Inconsistency is measured twice: in the finished stack, which all but the first render from one set of layers, and
before that, between the levels as sampled. There it cannot be less than what the autoencoder does to a consistent
stack, which is the row before the last. Sharpness is that of the innermost level without its border, which is blended
into what is around. Frames are those that the levels leave in the rendered stack, as a step of colours and as a change
of textures. The last row is the world itself, drawn at every level.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.canvas.windows import Size, canvas_size, crop
from core.measure.frames import texture_ratios
from core.methods.powers_of_ten import FEATHER, render_image
from core.zoom.geometry import footprints
from core.zoom.pyramid import enlarge
from demo.__main__ import save_image
from demo.autoencoder import PIXELS_PER_CELL
from demo.metrics import ring_energy, sharpness, zoom_inconsistency
from demo.pipeline import LandscapePipeline
from demo.world import render
from demo.zoom import Merge, ZoomParams, blend_decoded, paint_zoom

from ..bootstrap import mean_interval
from ..table import Table, Value
from .gallery import Gallery
from .plots import Point, draw
from .truth import true_scene

SCENES = ("autumn day", "summer dawn", "winter dusk")
LEVELS = ("far sky forest meadow", "wide forest", "near forest", "close forest")
SEEDS, P = 4, 2
OF = "Generative Powers of Ten, section 5.3: simpler versions of the method"
METRICS = ("inconsistency", "inconsistency as sampled", "sharpness of the innermost level", "frames", "texture ratio")
STEPS = 100  # 256 in the paper
FOREST = 0.55  # height of the middle of most forests in a scene
BORDER = round(FEATHER * ZoomParams.width)  # pixels in which the innermost level gives way to what is around it


def average(observed: Tensor, zoom_factor: int, pixels_per_cell: int) -> Tensor:
    """Layer i is the mean of all observations j <= i, enlarged to its size."""
    whole, steps = canvas_size(observed), footprints(canvas_size(observed), zoom_factor, pixels_per_cell)
    layers = []
    for level in range(len(observed)):
        enlarged = [observed[level]]
        for outside in range(1, min(level, len(steps)) + 1):
            image = crop(observed[level - outside], steps[outside - 1].outer)
            for depth in reversed(range(outside)):
                outer = steps[depth - 1].outer if depth else None
                size = Size(outer.height, outer.width) if outer else whole
                image = enlarge(image, zoom_factor, steps[depth].inner, size)
            enlarged.append(image)
        layers.append(torch.stack(enlarged).mean(dim=0))
    return torch.stack(layers)


def as_they_are(observed: Tensor, _zoom_factor: int, _pixels_per_cell: int) -> Tensor:
    """Every layer is its own observation."""
    return observed


METHODS: dict[str, tuple[dict[str, object], Merge]] = {
    "independent": ({"blending": "none", "shared_noise": False}, blend_decoded),
    "naive averaging": ({}, average),
    "no shared noise": ({"shared_noise": False}, blend_decoded),
    "iterative update": ({}, as_they_are),
    "ours": ({}, blend_decoded),
}


def zoom_figure(pipeline: LandscapePipeline, gallery: Gallery, args: argparse.Namespace) -> None:
    """Paint, measure, print, write and draw, with the first stack of every method as a picture."""
    steps, seeds = args.steps or STEPS, args.seeds or SEEDS
    prompts = [tuple(f"{scene} {level}" for level in LEVELS) for scene in SCENES]
    stacks = [
        ZoomParams(prompts=lines, seed=seed, zoom_factor=P, steps=steps) for lines in prompts for seed in range(seeds)
    ]
    note = f"{OF}. {len(stacks)} zoom stacks a row ({seeds} of each of {len(SCENES)} scenes), {len(LEVELS)} levels, "
    note += f"p = {P}, {steps} steps; in brackets 95 % bootstrap intervals."
    table = Table("zoom", "method", METRICS, note=note, device=args.device)
    panels: dict[str, list[Point]] = {metric: [] for metric in METRICS}
    pictures = []
    for name, (changes, merge) in METHODS.items():
        measured, finished = [], []
        for params in stacks:
            sampled, levels = _stack(pipeline, gallery, name, replace(params, **changes), merge, args.bfloat16)
            rendered = render_image(levels, P, PIXELS_PER_CELL)
            finished.append(rendered)
            given = levels if name == "independent" else rendered
            measured.append(_measured(given, sampled))
            if params is stacks[0]:
                pictures.append(torch.cat(list(rendered), dim=-1))
        values = _intervals(measured)
        table.row(name, values, panoramas=len(stacks))
        for metric, value in values.items():
            panels[metric].append(Point(name, value))
    passed = [pipeline.decode(pipeline.autoencoder.encode(levels)) for levels in finished]  # each level for itself
    limit = _intervals([_measured(stack, stack) for stack in passed])
    table.row("ours, through the autoencoder", limit, panoramas=len(stacks))
    drawn = [_true_zoom(scene, seed) for scene in SCENES for seed in range(seeds)]
    table.row("true zooms", _intervals([_measured(stack, stack) for stack in drawn]), panoramas=len(drawn))
    table.save(args.results)
    draw(args.results / "zoom.svg", OF, panels)
    save_image(torch.cat(pictures, dim=-2)[None].clamp(0, 1), args.results / "zoom.jpg")
    print(f"{gallery.painted} stacks painted, all others were there", file=sys.stderr)


def _measured(given: Tensor, sampled: Tensor) -> Tensor:
    """The METRICS of one stack: what a method gives, and what was sampled before."""
    apart = [zoom_inconsistency(stack, P).mean() for stack in (given, sampled)]
    rendered = render_image(given, P, PIXELS_PER_CELL)
    frames, textures = ring_energy(rendered, P).mean(), texture_ratios(rendered, P, PIXELS_PER_CELL).log().mean().exp()
    inside = given[-1:, ..., BORDER:-BORDER, BORDER:-BORDER]
    return torch.stack([*apart, sharpness(inside)[0], frames, textures])


def _true_zoom(scene: str, seed: int) -> Tensor:
    """(N, 3, H, W): a scene of the world with a forest in the middle, at the zooms of LEVELS."""
    drawn = true_scene(scene, seed)
    size = ZoomParams.height, ZoomParams.width
    levels = [render(drawn, *size, zoom=P**level, centre=(10.0 + seed, FOREST)) for level in range(len(LEVELS))]
    return torch.stack([torch.from_numpy(level.image).permute(2, 0, 1) for level in levels]).clamp(0, 1).float()


def _intervals(measured: Sequence[Tensor]) -> dict[str, Value]:
    """Means and intervals of the METRICS of several stacks."""
    return dict(zip(METRICS, map(mean_interval, torch.stack([*measured], dim=1)), strict=True))


def _stack(
    pipeline: LandscapePipeline, gallery: Gallery, name: str, params: ZoomParams, merge: Merge, bfloat16: bool
) -> tuple[Tensor, Tensor]:
    """The levels as sampled and joined, (N, 3, H, W) each; kept as one picture of two rows."""

    def paint() -> tuple[Tensor, int]:
        with torch.autocast(pipeline.device.type, torch.bfloat16, enabled=bfloat16):
            zoom = paint_zoom(pipeline, params, merge=merge)
        rows = [torch.cat(list(levels), dim=-1) for levels in (zoom.sampled, zoom.levels)]
        return torch.cat(rows, dim=-2), zoom.views

    image = gallery.picture((name, params), paint).image
    sampled, levels = (torch.stack(row.split(params.width, dim=-1)) for row in image.split(params.height, dim=-2))
    return sampled, levels

"""Frames and sharpness of a deep zoom, level by level, beside true zooms of the world.

texture ratio       across the border of the next level, in the level: see `core.measure.frames`
in frames           the same in the frames of a video between this level and the next, the worst of BETWEEN
sharpness           contrast of the details of the level without its border
through the autoencoder   the sharpness that true zooms keep in it: more is not to be had from this model
"""

import argparse

import torch
from torch import Tensor

from core.measure.frames import texture_ratios, texture_ratios_between
from core.methods.powers_of_ten import render_image
from demo.autoencoder import PIXELS_PER_CELL
from demo.metrics import sharpness
from demo.pipeline import LandscapePipeline
from demo.vocabulary import ZOOMS
from demo.zoom import ZoomParams

from ..bootstrap import mean_interval
from ..table import Table
from ..worlds import table_name
from .gallery import Gallery
from .plots import Point, draw
from .prompts import PROMPTS
from .zooms import BORDER, SEEDS, STEPS, joint, painted_stack, true_zoom, zoom_prompts

P = 2
BETWEEN = (0.25, 0.5, 0.75)  # levels further in than a level
PARTS = ("texture ratio", "in frames", "sharpness")
OURS, TRUE, PASSED = "", ", true zooms", ", true zooms through the autoencoder"  # after the name of a part
METRICS = (*(f"{part}{of}" for part in PARTS for of in (OURS, TRUE)), f"sharpness{PASSED}")
OF = "Generative Powers of Ten: a zoom of 8 levels, p = 2"


def zoom_levels_figure(pipeline: LandscapePipeline, gallery: Gallery, args: argparse.Namespace) -> None:
    """Paint, measure, print, write and draw."""
    steps, seeds, world = args.steps or STEPS, args.seeds or SEEDS, pipeline.world
    asked, name = PROMPTS[world.name], table_name("zoom-levels", world)
    stacks = [(palette, seed) for palette in asked.zoomed for seed in range(seeds)]
    note = f"{OF}. {len(stacks)} zoom stacks ({seeds} of each of {len(asked.zoomed)} scenes), {steps} steps; "
    note += "in brackets 95 % bootstrap intervals."
    numbers: dict[str, list[Tensor]] = {OURS: [], TRUE: [], PASSED: []}
    for palette, seed in stacks:
        lines = zoom_prompts(world, palette, P, len(ZOOMS))
        params = ZoomParams(prompts=lines, seed=seed, zoom_factor=P, steps=steps)
        levels = painted_stack(pipeline, gallery, "ours", params, joint(), args.bfloat16)[1]
        true = true_zoom(palette, seed, world, P, len(ZOOMS))
        numbers[OURS].append(measured(render_image(levels, P, PIXELS_PER_CELL, decoded=True)))
        numbers[TRUE].append(measured(true))
        numbers[PASSED].append(measured(pipeline.decode(pipeline.autoencoder.encode(true))))
    panels: dict[str, list[Point]] = {part: [] for part in PARTS}
    table = Table(name, "level", METRICS, note=note, device=args.device)
    for level, word in enumerate(ZOOMS):
        values = {}
        for of, those in numbers.items():
            for part, row in zip(PARTS, torch.stack(those)[:, :, level].unbind(dim=1), strict=True):
                if f"{part}{of}" in METRICS and not row.isnan().any():
                    values[f"{part}{of}"] = mean_interval(row)
                    panels[part].append(Point(word, values[f"{part}{of}"], level, of.removeprefix(", ") or "ours"))
        table.row(word, values, panoramas=len(stacks))
    table.save(args.results)
    draw(args.results / f"{name}.svg", OF, panels, "level")


def measured(levels: Tensor) -> Tensor:
    """(PARTS, N) numbers of a stack (N, 3, H, W); the last level has no next one, so its first two are NaN."""
    zooms = [level + between for level in range(len(levels) - 1) for between in BETWEEN]
    frames = texture_ratios_between(levels, zooms, P, PIXELS_PER_CELL).reshape(-1, len(BETWEEN)).amax(dim=1)
    none = torch.full((1,), torch.nan)
    inside = levels[..., BORDER:-BORDER, BORDER:-BORDER]
    return torch.stack(
        [torch.cat([texture_ratios(levels, P, PIXELS_PER_CELL), none]), torch.cat([frames, none]), sharpness(inside)]
    )

"""Generative Powers of Ten on the bundled model: its baselines (section 5.2), and what each part is for (section 5.3).

independent         every level sampled for itself
outpainting, super-resolution   each level made from the one before it; see `zoom_baselines.py`
naive averaging     observations enlarged and averaged, without a pyramid
no shared noise     each level its own noise
iterative update    each level takes what the levels inside it show, from the innermost outwards, without blending
ours                blending, rendering and shared noise

Inconsistency is measured twice: in the finished stack, which all but the first render from one set of layers, and
before that, between the levels as sampled. There it cannot be less than what the autoencoder does to a consistent
stack, which is the row before the last. Sharpness is that of the innermost level without its border, which is blended
into what is around. Frames are those that the levels leave in the rendered stack, as a step of colours and as a change
of textures. Mean-GIQA says how like true pictures of its zoom a level is, the higher the better. The last row is the
world itself, drawn at every level.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

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
from demo.vocabulary import ZOOMS
from demo.worlds import World
from demo.zoom import Merge, Zoom, ZoomParams, blend_decoded, paint_zoom

from ..bootstrap import mean_interval
from ..distances import giqa
from ..table import Table, Value
from ..worlds import table_name
from .features import FeatureNetwork, load_features
from .gallery import Gallery
from .plots import Point, draw
from .prompts import PROMPTS
from .truth import true_scene
from .zoom_baselines import outpainting, super_resolution

LEVELS = 4
SEEDS = 4
OF = "Generative Powers of Ten, sections 5.2 and 5.3: baselines, and simpler versions of the method"
METRICS = ("inconsistency", "inconsistency as sampled", "sharpness of the innermost level", "frames", "texture ratio")
METRICS += ("Mean-GIQA",)
STEPS = 100  # 256 in the paper
TRUE_ZOOMS, OTHERS = 16, 500  # of every scene, to compare with, and the seed of the first
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


class Contender(NamedTuple):
    """A row of the table."""

    paint: Callable[[LandscapePipeline, ZoomParams], Zoom]
    nested: bool = True  # its levels are rendered from one set of layers


def joint(merge: Merge = blend_decoded, **changes: object) -> Callable[[LandscapePipeline, ZoomParams], Zoom]:
    """The method, or a simpler version of it."""
    return lambda pipeline, params: paint_zoom(pipeline, replace(params, **changes), merge=merge)


METHODS = {
    "independent": Contender(joint(blending="none", shared_noise=False), nested=False),
    "outpainting": Contender(outpainting, nested=False),
    "super-resolution": Contender(super_resolution, nested=False),
    "naive averaging": Contender(joint(average)),
    "no shared noise": Contender(joint(shared_noise=False)),
    "iterative update": Contender(joint(as_they_are)),
    "ours": Contender(joint()),
}


def zoom_figure(pipeline: LandscapePipeline, gallery: Gallery, args: argparse.Namespace, zoom_factor: int) -> None:
    """Paint, measure, print, write and draw, with the first stack of every method as a picture."""
    steps, seeds, world = args.steps or STEPS, args.seeds or SEEDS, pipeline.world
    asked, name = PROMPTS[world.name], table_name(args.figure, world)
    prompts = [zoom_prompts(world, palette, zoom_factor, LEVELS) for palette in asked.zoomed]
    stacks = [
        ZoomParams(prompts=lines, seed=seed, zoom_factor=zoom_factor, steps=steps)
        for lines in prompts
        for seed in range(seeds)
    ]
    note = f"{OF}. {len(stacks)} zoom stacks a row ({seeds} of each of {len(prompts)} scenes), {LEVELS} levels, "
    note += f"p = {zoom_factor}, {steps} steps; in brackets 95 % bootstrap intervals."
    table = Table(name, "method", METRICS, note=note, device=args.device)
    panels: dict[str, list[Point]] = {metric: [] for metric in METRICS}
    pictures = []
    network, true = load_features(world.name), partial(true_zoom, world=world, zoom_factor=zoom_factor, levels=LEVELS)
    others = [true(palette, OTHERS + seed) for palette in asked.zoomed for seed in range(TRUE_ZOOMS)]
    rendering = partial(render_image, zoom_factor=zoom_factor, pixels_per_cell=PIXELS_PER_CELL, decoded=True)
    measured = partial(_measured, zoom_factor=zoom_factor, network=network, truth=_features(network, others))
    for label, contender in METHODS.items():
        finished, numbers = [], []
        for params in stacks:
            sampled, given = painted_stack(pipeline, gallery, label, params, contender.paint, args.bfloat16)
            rendered = rendering(given)
            finished.append(rendered if contender.nested else given)
            numbers.append(measured(finished[-1], sampled, rendered))
            if params is stacks[0]:
                pictures.append(torch.cat(list(finished[-1]), dim=-1))
        values = _intervals(numbers)
        table.row(label, values, panoramas=len(stacks))
        for metric, value in values.items():
            panels[metric].append(Point(label, value))
    passed = [pipeline.decode(pipeline.autoencoder.encode(stack)) for stack in finished]  # each level for itself
    drawn = [true(palette, seed) for palette in asked.zoomed for seed in range(seeds)]
    for label, those in (("ours, through the autoencoder", passed), ("true zooms", drawn)):
        numbers = [measured(stack, stack, rendering(stack)) for stack in those]
        table.row(label, _intervals(numbers), panoramas=len(those))
    table.save(args.results)
    draw(args.results / f"{name}.svg", OF, panels)
    save_image(torch.cat(pictures, dim=-2)[None].clamp(0, 1), args.results / f"{name}.jpg")
    print(f"{gallery.painted} stacks painted, all others were there", file=sys.stderr)


def _measured(
    given: Tensor, sampled: Tensor, rendered: Tensor, zoom_factor: int, network: FeatureNetwork, truth: Sequence[Tensor]
) -> Tensor:
    """The METRICS of one stack: what a method gives, what was sampled before, and what is seen in a video."""
    apart = [zoom_inconsistency(stack, zoom_factor).mean() for stack in (given, sampled)]
    frames = ring_energy(rendered, zoom_factor).mean()
    textures = texture_ratios(rendered, zoom_factor, PIXELS_PER_CELL).log().mean().exp()
    inside = given[-1:, ..., BORDER:-BORDER, BORDER:-BORDER]
    alike = [giqa(level, true).mean() for level, true in zip(network(given).split(1), truth, strict=True)]
    return torch.stack([*apart, sharpness(inside)[0], frames, textures, torch.stack(alike).mean()])


def _features(network: FeatureNetwork, stacks: Sequence[Tensor]) -> list[Tensor]:
    """(M, 64) of every level of M stacks."""
    return [network(level) for level in torch.stack([*stacks], dim=1)]


def zoom_prompts(world: World, palette: str, zoom_factor: int, levels: int) -> tuple[str, ...]:
    """A prompt for each level; `zoom_factor` is a power of 2, as the words for distances are."""
    asked, distances = PROMPTS[world.name], ZOOMS[:: zoom_factor.bit_length() - 1][:levels]
    return tuple(f"{palette} {far} {asked.within if i else asked.outermost}" for i, far in enumerate(distances))


def true_zoom(palette: str, seed: int, world: World, zoom_factor: int, levels: int) -> Tensor:
    """(N, 3, H, W): a scene of the world with what its zooms show in the middle, the most zoomed out first."""
    drawn, size = true_scene(palette, seed, world), (ZoomParams.height, ZoomParams.width)
    centre = (10.0 + seed, PROMPTS[world.name].middle)
    pictures = [world.render(drawn, *size, zoom=zoom_factor**level, centre=centre) for level in range(levels)]
    return torch.stack([torch.from_numpy(level.image).permute(2, 0, 1) for level in pictures]).clamp(0, 1).float()


def _intervals(measured: Sequence[Tensor]) -> dict[str, Value]:
    """Means and intervals of the METRICS of several stacks."""
    return dict(zip(METRICS, map(mean_interval, torch.stack([*measured], dim=1)), strict=True))


def painted_stack(
    pipeline: LandscapePipeline,
    gallery: Gallery,
    name: str,
    params: ZoomParams,
    paint: Callable[[LandscapePipeline, ZoomParams], Zoom],
    bfloat16: bool,
) -> tuple[Tensor, Tensor]:
    """The levels as sampled and joined, (N, 3, H, W) each; kept as one picture of two rows."""

    def painted() -> tuple[Tensor, int]:
        with torch.autocast(pipeline.device.type, torch.bfloat16, enabled=bfloat16):
            zoom = paint(pipeline, params)
        rows = [torch.cat(list(levels), dim=-1) for levels in (zoom.sampled, zoom.levels)]
        return torch.cat(rows, dim=-2), zoom.views

    image = gallery.picture((name, params), painted).image
    sampled, levels = (torch.stack(row.split(params.width, dim=-1)) for row in image.split(params.height, dim=-2))
    return sampled, levels

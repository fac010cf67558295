"""Pictures of a world made larger: what they keep, what they gain and what it takes.

The small picture is a true one of twice (or four times) the size, made small; so the large one is known, too. PSNR is
that of the result, made small again, against the small picture: whether it still is the same picture. In FID, windows
of the result are compared with windows of true pictures of its size.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.canvas.windows import Size, Window, canvas_size
from core.measure.seams import seam_energy, window_borders
from demo.enlarge import EnlargeParams, enlarge_picture, measure_enlarged
from demo.model import NATIVE
from demo.pipeline import LandscapePipeline

from ..bootstrap import mean_interval
from ..table import Table, Value
from ..worlds import table_name
from .features import WINDOW, load_features
from .gallery import Gallery, Kept
from .measures import COSTS, Row, all_features, measure, native_windows
from .painter import painted_by
from .plots import Point, draw
from .prompts import PROMPTS
from .tiles import TileParams, enlarge_by_tiles, tiles
from .truth import true_panorama

HERE = Path(__file__)
HEIGHT, WIDTH = 256, 1024  # of the small pictures
ZOOM_WORDS = {2: "near", 4: "close"}  # of the large ones: 4 and 8 windows high
TRUE_PICTURES, TRUTH_FROM = 24, 1000  # for FID; their first seed
half_overlap = partial(native_windows, stride=WINDOW // 2)
OF = "Enlarging: a true picture, made small and large again"
MEASURED = ("FID", "order violations", "sharpness", "grid x 16 px", "grid y 16 px")  # as in all figures
METRICS = ("FID", "order violations", "PSNR", "sharpness", "seam energy", "grid x 16 px", "grid y 16 px")
DRAWN = ("FID", "order violations", "PSNR", "sharpness")

Enlarge = Callable[[Tensor, str, int], tuple[Tensor, int]]
"""(small picture (1, 3, H, W), prompt, seed) -> the large picture (1, 3, H, W), views denoised."""


class Way(NamedTuple):
    """One row of the table: how pictures are made larger, and the windows at whose borders seams are looked for."""

    enlarge: Enlarge
    borders: Callable[[Tensor], tuple[Window, ...]]
    described: object  # with the prompt and the seed, what the result depends on


def ways(pipeline: LandscapePipeline, by: int, steps: int) -> dict[str, Way]:
    """All rows but the true pictures."""

    def painted(enlarge: Callable[..., tuple[Tensor, int]], params: Any) -> Enlarge:
        return lambda picture, prompt, seed: enlarge(pipeline, picture, replace(params, prompt=prompt, seed=seed))

    def jointly(**fields) -> Way:
        params = EnlargeParams(upscale_by=by, steps=steps, **fields)
        return Way(painted(enlarge_picture, params), half_overlap, params)

    def by_tiles(denoise: float) -> Way:
        params = TileParams(upscale_by=by, steps=steps, denoise=denoise, prompt="")
        return Way(
            painted(enlarge_by_tiles, params), lambda image: tuple(tiles(canvas_size(image), params.tile)), params
        )

    def bicubic(picture: Tensor, _prompt: str, _seed: int) -> tuple[Tensor, int]:
        return nn.functional.interpolate(picture, scale_factor=float(by), mode="bicubic").clamp(0, 1), 0

    def through_autoencoder(picture: Tensor, prompt: str, seed: int) -> tuple[Tensor, int]:
        size = HEIGHT * by, picture.shape[-1] * by
        large = true_panorama(prompt.partition(" ")[2], seed, *size, pipeline.world)
        return pipeline.decode(pipeline.autoencoder.encode(large[None].to(pipeline.device))), 0

    return {
        "bicubic": Way(bicubic, half_overlap, "bicubic"),
        **{f"img2img, denoise {d:g}": jointly(structure=0, denoise=d) for d in (0.3, 0.5, 0.7)},
        **{f"tile after tile, denoise {d:g}": by_tiles(d) for d in (0.3, 0.5, 0.7)},
        "structure, denoise 1": jointly(),
        "structure, denoise 1, moving windows": jointly(moving=True),
        "true pictures, through the autoencoder": Way(through_autoencoder, half_overlap, "autoencoder"),
    }


def enlarge_figure(pipeline: LandscapePipeline, gallery: Gallery, args: argparse.Namespace, by: int) -> None:
    """Enlarge, measure, print, write and draw."""
    seeds, world = args.seeds or 2, pipeline.world
    name, prompts = table_name("enlarge" if by == 2 else f"enlarge-{by}", world), PROMPTS[world.name].palettes
    size = Size(HEIGHT * by, (args.columns * WINDOW if args.columns else WIDTH) * by)
    gallery = Gallery(args.out, (*painted_by(world), HERE, HERE.with_name("tiles.py")), **gallery.setting)
    network, steps = load_features(world.name), args.steps or 20
    pictures = [(prompt, seed) for prompt in prompts for seed in range(seeds)]
    note = f"{OF}. {len(pictures)} pictures a row ({seeds} for each of {len(prompts)} prompts), "
    note += f"{size.width // by} x {size.height // by} to {size.width} x {size.height} pixels, {steps} steps; "
    note += "in brackets 95 % bootstrap intervals."
    table = Table(name, "way", [*METRICS, *COSTS], note=note, device=args.device)
    panels: dict[str, list[Point]] = {metric: [] for metric in DRAWN}

    def true(prompt: str, seed: int) -> Kept:
        return gallery.picture(("world", prompt, seed, size), lambda: (true_panorama(prompt, seed, *size, world), 0))

    def enlarged(way: Way, prompt: str, seed: int) -> Kept:
        def paint() -> tuple[Tensor, int]:
            small = nn.functional.avg_pool2d(true(prompt, seed).image[None], by)
            with torch.autocast(pipeline.device.type, torch.bfloat16, enabled=args.bfloat16):
                image, views = way.enlarge(small.to(pipeline.device), f"{ZOOM_WORDS[by]} {prompt}", seed)
            return image[0], views

        return gallery.picture((way.described, prompt, seed, size), paint)

    others = [(prompts[number % len(prompts)], TRUTH_FROM + number) for number in range(TRUE_PICTURES)]
    truth = torch.cat([all_features(network, true(*other).image) for other in others])
    rows = ways(pipeline, by, steps)
    for label in [*rows, "true pictures"]:
        way = rows.get(label)
        kept = []
        for prompt, seed in pictures:
            kept.append(enlarged(way, prompt, seed) if way else true(prompt, seed))
            print(f"\r{label}: {len(kept)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        row = Row(
            kept=kept,
            prompts=[prompt for prompt, _ in pictures],
            stride=NATIVE // 2,
            network=network,
            world=world,
            truth=truth,
        )
        values = measure(row, [*MEASURED, *COSTS]) | seams(row, way.borders if way else half_overlap)
        if way:  # true pictures are what is made small
            values["PSNR"] = similarity(
                kept, [nn.functional.avg_pool2d(true(*one).image[None], by) for one in pictures]
            )
        table.row(label, values, panoramas=len(kept))
        for metric in DRAWN:
            if metric in values:
                panels[metric].append(Point(label, values[metric]))
    table.save(args.results)
    draw(args.results / f"{name}.svg", OF, panels)
    print(f"{gallery.painted} pictures painted, all others were there", file=sys.stderr)


def seams(row: Row, borders: Callable[[Tensor], tuple[Window, ...]]) -> dict[str, Value]:
    """At the borders of the windows of one way: those of tiles are elsewhere."""

    def energy(image: Tensor, _prompt: str) -> Tensor:
        return seam_energy(image, window_borders(borders(image), canvas_size(image)))

    return {"seam energy": mean_interval(row.each(energy))}


def similarity(kept: list[Kept], smalls: list[Tensor]) -> Value:
    """PSNR of the results, made small again, and the small pictures."""
    pairs = zip(kept, smalls, strict=True)
    return mean_interval(torch.tensor([measure_enlarged(one.image[None], small)["psnr"] for one, small in pairs]))

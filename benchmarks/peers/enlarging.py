"""A true picture, made small and twice as large again: by this pack, by others and by the host's bicubic filter.

Import only after `host.start_host`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from joint_diffusion.core.measure.seams import seam_energy
from joint_diffusion.demo.metrics import sharpness
from joint_diffusion.nodes.joint_upscale import JointUpscale
from joint_diffusion.nodes.panorama_windows import MOVING, OVERLAPPING
from kornia.metrics import psnr
from torch import Tensor

from ..bootstrap import mean_interval
from ..figures.prompts import PROMPTS
from ..speed.measuring import DEVICE
from ..table import Table, Value
from .packs import TiledDiffusion, UltimateUpscale
from .painter import PIXELS, SETTINGS, WINDOW, Cost, DemoPainter
from .panoramas import BATCH, HALF, Wanted, borders_every, spent

ASKED = PROMPTS["landscapes"]
BY, NEAR = 2, "near"  # the prompt's word for a canvas so many times a window high
BICUBIC = "bicubic"
# Ultimate SD Upscale at its defaults, for a model of 128 pixels in place of 512: padding 8 in place of 32, blur 2 in
# place of 8; and such tiles that the model sees 128 pixels of each with its padding.
TILE = {"tile": PIXELS - 8, "padding": 8, "blur": 2}
DEFAULT, MORE = 0.2, 0.5  # its denoise, and more
COLUMNS = ("views denoised", "seconds", "peak memory, MiB", "PSNR", "sharpness", "seam energy")

Enlarge = Callable[[Tensor, str, int, int], Tensor]
"""(small picture (1, H, W, 3), prompt, seed, steps) -> the large one (1, 3, H, W)."""


class Way(NamedTuple):
    """A row, and how far apart the borders are at which seams are looked for, in pixels."""

    enlarge: Enlarge
    stride: int = PIXELS // 2


def ways(painter: DemoPainter, tiled: TiledDiffusion | None, ultimate: UltimateUpscale | None) -> dict[str, Way]:
    """All rows but the true pictures."""

    def bicubic(picture: Tensor, _prompt: str, _seed: int, _steps: int) -> Tensor:
        return painter.bicubic(picture, BY).movedim(-1, 1)

    def img2img(pack: TiledDiffusion, denoise: float, picture: Tensor, prompt: str, seed: int, steps: int) -> Tensor:
        patched = pack.patch(painter.model, WINDOW, HALF, BATCH, "Mixture of Diffusers")
        latent = painter.vae.encode(painter.bicubic(picture, BY))
        return painter.decoded(painter.sampled(patched, prompt, seed, latent, denoise, steps))

    def by_tiles(pack: UltimateUpscale, denoise: float, picture: Tensor, prompt: str, seed: int, steps: int) -> Tensor:
        large, prompts = painter.bicubic(picture, BY), painter.prompts(prompt)
        given = {"denoise": denoise, "seed": seed, "steps": steps, **TILE, **SETTINGS}
        return pack.refine(large, painter.model, painter.vae, prompts, **given).movedim(-1, 1)

    def jointly(windows: str, picture: Tensor, prompt: str, seed: int, steps: int) -> Tensor:
        positive, negative = painter.prompts(prompt)
        given = {"upscale_by": BY, "structure": 1.0, "denoise": 1.0, "windows": windows, "seed": seed, "steps": steps}
        found = JointUpscale.execute(painter.model, positive, negative, painter.vae, picture, **given, **SETTINGS)
        return found.args[0].movedim(-1, 1)

    found = {BICUBIC: Way(bicubic)}
    for denoise in (DEFAULT, MORE):
        if tiled:
            found[f"TiledDiffusion img2img, denoise {denoise:g}"] = Way(partial(img2img, tiled, denoise))
        if ultimate:
            by = partial(by_tiles, ultimate, denoise)
            found[f"Ultimate SD Upscale, denoise {denoise:g}"] = Way(by, TILE["tile"])
    found["Joint Upscale"] = Way(partial(jointly, MOVING))
    found["Joint Upscale, overlapping windows"] = Way(partial(jointly, OVERLAPPING))
    return found


def wanted(columns: int, seeds: int) -> list[Wanted]:
    """The true pictures, half as wide as the panoramas are."""
    return [(prompt, seed, 4 * PIXELS, columns * PIXELS // 2) for prompt in ASKED.palettes for seed in range(seeds)]


class Enlarging:
    """The table."""

    def __init__(self, painter: DemoPainter, tiled: TiledDiffusion | None, ultimate: UltimateUpscale | None):
        self._painter = painter
        self._ways = ways(painter, tiled, ultimate)
        self._peaks: dict[str, float] = {}

    def measure_memory(self, picture: Tensor) -> None:
        """Of all rows, with a true picture (3, H, W); before anything of any table has run."""
        small = _small(picture[None]).movedim(1, -1)
        for label, way in self._ways.items():
            self._peaks[label] = self._painter.peak(partial(way.enlarge, small, f"{NEAR} {ASKED.palettes[0]}", 0, 2))

    def compare(self, truth: Mapping[Wanted, Tensor], args: argparse.Namespace, who: str) -> None:
        """Enlarge, measure, print and write; `truth` has the pictures that are wanted, `who` names versions."""
        pictures = wanted(args.columns, args.seeds)
        true = [truth[picture][None] for picture in pictures]
        smalls = [_small(picture) for picture in true]
        large: dict[str, list[Tensor]] = {label: [] for label in self._ways}
        costs: dict[str, list[Cost]] = {label: [] for label in self._ways}
        for (prompt, seed, *_), small in zip(pictures, smalls, strict=True):
            for label, way in self._ways.items():
                with self._painter.costs() as cost:
                    large[label].append(way.enlarge(small.movedim(1, -1), f"{NEAR} {prompt}", seed, args.steps))
                costs[label].append(cost)
                print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        note, command = _note(pictures, args, who), args.commands["enlarging"]
        table = Table("peers-enlarge", "way", COLUMNS, note=note, device=DEVICE, command=command)
        for label, way in self._ways.items():
            metrics = _measured(large[label], smalls, way.stride) | spent(costs[label])
            if label in self._peaks:
                metrics["peak memory, MiB"] = self._peaks[label]
            table.row(label, metrics, panoramas=len(pictures))
        metrics = _measured(true, smalls, self._ways[BICUBIC].stride)
        del metrics["PSNR"]  # these are what was made small
        table.row("true pictures", metrics, panoramas=len(pictures))
        table.save(args.results)


def _small(picture: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(picture, BY)


def _note(pictures: list[Wanted], args: argparse.Namespace, who: str) -> str:
    *_, height, width = pictures[0]
    return (
        f"{len(pictures)} true pictures of {width // BY} x {height // BY} pixels, {BY} times as large, "
        f"{args.steps} steps; PSNR after making them small again, in dB; in brackets 95 % bootstrap intervals. {who}"
    )


def _measured(images: list[Tensor], smalls: list[Tensor], stride: int) -> dict[str, Value]:
    """Of images (1, 3, H, W) and the small pictures that they were made from."""
    borders = borders_every(stride, images[0])
    # `measure_enlarged` of the demo does the same, but belongs to processes without the host.
    kept = [psnr(_small(image), small, max_val=1.0) for image, small in zip(images, smalls, strict=True)]
    return {
        "PSNR": mean_interval(torch.stack(kept)),
        "sharpness": mean_interval(torch.cat([sharpness(image).reshape(1) for image in images])),
        "seam energy": mean_interval(torch.cat([seam_energy(image, borders) for image in images])),
    }

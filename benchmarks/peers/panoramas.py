"""Panoramas of the bundled model: the host alone, its Context Windows, other packs and this one.

Import only after `host.start_host`.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from comfy.model_patcher import ModelPatcher
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.measure.seams import Borders, seam_energy, wrap_error
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.demo.metrics import order_violations_per_column
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.panorama_windows import MOVING, OVERLAPPING, PanoramaWindows
from torch import Tensor

from ..bootstrap import mean_interval
from ..figures.prompts import PROMPTS
from ..speed.measuring import DEVICE
from ..table import Table, Value
from .packs import TiledDiffusion, context_windows
from .painter import CHANNELS, PIXELS, WINDOW, Cost, DemoPainter

ASKED = PROMPTS["landscapes"]
COSTS = ("views denoised", "seconds", "times plain sampling", "peak memory, MiB")
COLUMNS = (*COSTS, "seam energy", "order violations")
WRAPPED = (*COSTS, "wrap error", "seam energy")
PLAIN = "plain sampling, without windows"
CONTEXT = "Context Windows"
OURS, OURS_MOVING, OURS_MSD = "Panorama Windows", "Panorama Windows, moving", "Multi-Scale Guidance, moving"
HALF, BATCH = WINDOW // 2, 8  # all windows overlap by half; so many in a model call, where it can be chosen
METHODS = {"MultiDiffusion": HALF, "Mixture of Diffusers": HALF, "SpotDiffusion": 0}  # the peer's, and their overlap

Wanted = tuple[str, int, int, int]  # a true picture: prompt, seed, height and width in pixels


class Canvas(NamedTuple):
    """What all rows of a table paint."""

    name: str  # of the table
    rows: int  # windows
    columns: int
    prompts: tuple[str, ...]
    wrap: bool = False

    @property
    def size(self) -> Size:
        """Latent cells."""
        return Size(self.rows * WINDOW, self.columns * WINDOW)

    def pictures(self, seeds: int) -> list[Wanted]:
        """What is painted, with so many seeds for each of 3 prompts."""
        seeds *= len(ASKED.palettes) // len(self.prompts)
        pixels = (self.rows * PIXELS, self.columns * PIXELS)
        return [(prompt, seed, *pixels) for prompt in self.prompts for seed in range(seeds)]


def canvases(columns: int) -> list[Canvas]:
    """The three tables."""
    return [
        Canvas("peers-strip", 1, columns, (ASKED.strip,)),
        Canvas("peers-canvas", 2, columns, ASKED.palettes),
        Canvas("peers-wrapped", 1, columns, (ASKED.strip,), wrap=True),
    ]


def ways(model: ModelPatcher, canvas: Canvas, pack: TiledDiffusion | None) -> dict[str, ModelPatcher]:
    """The model patched by everyone who can sample this canvas; without windows first."""
    found = {PLAIN: model}
    if canvas.rows == 1:
        found[CONTEXT] = context_windows(model, WINDOW, HALF, "pyramid", canvas.wrap)
    if pack:
        # Of its methods only one has windows that cross the edge.
        methods = {name: overlap for name, overlap in METHODS.items() if not canvas.wrap or name == "SpotDiffusion"}
        found |= {
            f"TiledDiffusion, {name}": pack.patch(model, WINDOW, overlap, BATCH, name)
            for name, overlap in methods.items()
        }
    ours = partial(PanoramaWindows.execute, model, 0, 0, 0.5, wrap_x=canvas.wrap, wrap_y=False, windows_per_batch=BATCH)
    found |= {OURS: ours(windows=OVERLAPPING).args[0], OURS_MOVING: ours(windows=MOVING).args[0]}
    if canvas.rows > 1:
        found[OURS_MSD] = with_settings(found[OURS_MOVING], multiscale=MultiScaleParams())
    return found


class Panoramas:
    """One table."""

    def __init__(self, painter: DemoPainter, canvas: Canvas, pack: TiledDiffusion | None):
        self._painter, self._canvas = painter, canvas
        self._models = ways(painter.model, canvas, pack)
        self._latent = torch.zeros(1, CHANNELS, *canvas.size)
        self._peaks: dict[str, float] = {}

    def measure_memory(self) -> None:
        """Of all rows; before anything of any table has run."""
        for label, model in self._models.items():
            work = partial(self._painter.sampled, model, self._canvas.prompts[0], 0, self._latent, steps=2)
            self._peaks[label] = self._painter.peak(work)

    def compare(self, truth: Mapping[Wanted, Tensor], args: argparse.Namespace, who: str) -> None:
        """Paint, measure, print and write; `truth` has a picture (3, H, W) for every panorama, `who` names versions."""
        canvas, pictures = self._canvas, self._canvas.pictures(args.seeds)
        painted: dict[str, list[Tensor]] = {label: [] for label in self._models}
        costs: dict[str, list[Cost]] = {label: [] for label in self._models}
        for prompt, seed, *_ in pictures:  # they take turns, so that a busy machine slows all alike
            for label, model in self._models.items():
                with self._painter.costs() as cost:
                    sampled = self._painter.sampled(model, prompt, seed, self._latent)
                costs[label].append(cost)
                painted[label].append(self._painter.decoded(sampled, canvas.wrap))
                print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        note = _note(canvas, pictures, args, who)
        columns, command = WRAPPED if canvas.wrap else COLUMNS, args.commands["panoramas"]
        table = Table(canvas.name, "way", columns, note=note, device=DEVICE, command=command)
        bare = statistics.median(cost.seconds for cost in costs[PLAIN])
        for label in self._models:
            metrics = _measured(painted[label], pictures, table) | spent(costs[label])
            metrics["times plain sampling"] = statistics.median(cost.seconds for cost in costs[label]) / bare
            if label in self._peaks:
                metrics["peak memory, MiB"] = self._peaks[label]
            table.row(label, metrics, panoramas=len(pictures))
        if not canvas.wrap:  # true pictures do not
            true = [truth[picture][None] for picture in pictures]
            table.row("true pictures", _measured(true, pictures, table), panoramas=len(true))
        table.save(args.results)


def spent(costs: list[Cost]) -> dict[str, Value]:
    """Views, their mean, and seconds, their median."""
    seconds = statistics.median(cost.seconds for cost in costs)
    return {"views denoised": statistics.fmean(cost.views for cost in costs), "seconds": seconds}


def _note(canvas: Canvas, pictures: list[Wanted], args: argparse.Namespace, who: str) -> str:
    *_, height, width = pictures[0]
    edges = ", left and right edge meet" if canvas.wrap else ""
    return (
        f"{canvas.rows} x {canvas.columns} windows of the bundled model, {width} x {height} pixels{edges}; "
        f"{len(pictures)} panoramas a row, the same prompts and seeds for all, {args.steps} steps; in brackets 95 % "
        f"bootstrap intervals. {who}"
    )


def _measured(images: list[Tensor], pictures: list[Wanted], table: Table) -> dict[str, Value]:
    """The metrics of images (1, 3, H, W) that the table has."""
    metrics: dict[str, Callable[[Tensor, str], Tensor]] = {
        "seam energy": lambda image, _: seam_energy(image, borders_every(PIXELS // 2, image)),
        "wrap error": lambda image, _: wrap_error(image, "x"),
        "order violations": order_violations_per_column,
    }
    asked = [(image, prompt) for image, (prompt, *_) in zip(images, pictures, strict=True)]
    return {
        name: mean_interval(torch.cat([measure(*one).reshape(1) for one in asked]))
        for name, measure in metrics.items()
        if name in table.columns
    }


def borders_every(stride: int, image: Tensor) -> Borders:
    """Of an image (..., H, W), so many pixels apart."""
    height, width = image.shape[-2:]
    return Borders(range(stride, height, stride), range(stride, width, stride))

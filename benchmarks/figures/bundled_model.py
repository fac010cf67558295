"""How good the bundled model is for each zoom word, and where it loses what it loses.

    python -m benchmarks.figures.bundled_model

Windows of true pictures that were not in the training set go through the autoencoder; or noise is added to their
latents, and the model samples from there; or the model paints them from pure noise. FID compares each with the same
number of other true windows. With so few it is far from 0 for true windows themselves, which are the first step of the
ladder. The next is the autoencoder alone, and the last is all of the model.

PSNR            of true windows through the autoencoder, in decibels
lattice         the strongest line that the decoder could print: power of the picture at a multiple of the frequency of
                its cells, divided by that of the frequencies around it. 1 is no line
error           of the denoiser, mean over noise levels, weighted as in training: 1 if it knew nothing of the picture
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from kornia.metrics import psnr
from torch import Tensor

from demo.autoencoder import PIXELS_PER_CELL
from demo.dataset import caption, draw, pixels, random_window
from demo.model import SIGMA_MAX, network_error
from demo.pipeline import LandscapePipeline
from demo.sampling import euler, karras_sigmas
from demo.vocabulary import ZOOMS
from demo.worlds import World

from ..distances import fid
from ..table import RESULTS, Table
from ..worlds import WORLDS, add_world, table_name
from .features import WINDOW, load_features

FIRST = 700_000  # seed of the first picture, far from those of the training set
WINDOWS = 192  # for each zoom word, and as many others to compare with
EACH = 2  # windows of one picture
STEPS, CFG = 20, 2.0
ERROR_AT = (0.3, 1.0, 3.0, 10.0)  # noise levels
FROM = (0.5, 2.0, 8.0)  # noise levels from which true latents are sampled down
AROUND, APART = 6, 2  # bins: the frequencies that a line is compared with, and those that belong to it
FAINT = 2 / 255  # root mean square
METRICS = ("PSNR", "lattice, true", "lattice, through the autoencoder", "lattice, painted", "error")
METRICS += (
    "FID, true",
    "FID, through the autoencoder",
    *(f"FID, from noise {level:g}" for level in FROM),
    "FID, painted",
)


class Windows(NamedTuple):
    """Windows of one zoom word, and their captions."""

    images: Tensor  # (N, 3, 128, 128)
    captions: list[str]


def true_windows(zoom: str, count: int, seed: int, world: World) -> Windows:
    """Windows of new pictures, `EACH` of each, at random places."""
    rng, images, captions = np.random.default_rng(seed), [], []
    while len(images) < count:
        picture = draw(FIRST + int(rng.integers(10**8)), zoom, world)
        for _ in range(EACH):
            window = random_window(picture, rng)
            images.append(torch.from_numpy(pixels(picture, window).copy()).permute(2, 0, 1).float() / 255)
            captions.append(" ".join(caption(picture, window, rng, world)))
    return Windows(torch.stack(images[:count]), captions[:count])


def lattice(images: Tensor) -> float:
    """The strongest of the lines at multiples of one cell, 8 x 8 pixels, in the mean power spectrum of grey images.

    Of images with 8 bits, as they are seen. All windows count alike, but for those with less contrast than FAINT: a
    pattern of a single grey level in a black sky would outweigh all others.
    """
    grey = (images * 255).round().mean(dim=1) / 255
    fading = torch.hann_window(WINDOW, periodic=False)
    fading = fading * fading[:, None]
    shown = (grey - grey.mean(dim=(1, 2), keepdim=True)) * fading
    energy = shown.square().sum(dim=(1, 2), keepdim=True).clamp(min=FAINT**2 * float(fading.square().sum()))
    power = (torch.fft.fft2(shown).abs().square() / energy).mean(dim=0)
    first, ratios = WINDOW // PIXELS_PER_CELL, []
    offsets = torch.arange(-AROUND, AROUND + 1)
    for row in range(-3, 5):
        for column in range(5):
            if row == column == 0:
                continue
            # On an axis the power differs from that beside it, so there the line is compared with the axis.
            rows, columns = (offsets if at else offsets[offsets.abs() <= 1] for at in (row, column))
            distance = torch.maximum(rows.abs()[:, None], columns.abs())
            near = power[(row * first + rows)[:, None] % WINDOW, (column * first + columns) % WINDOW]
            ratios.append(near[distance <= 1].mean() / near[distance > APART].mean())
    return torch.stack(ratios).max().item()


def prediction_error(pipeline: LandscapePipeline, latents: Tensor, captions: Sequence[str], batch: int) -> float:
    """The loss of the training (`demo.train.denoiser`) for windows that it has not seen, at the levels ERROR_AT."""
    generator, errors = torch.Generator().manual_seed(0), []
    for level in ERROR_AT:
        for first in range(0, len(latents), batch):
            few, context = latents[first : first + batch], pipeline.encode([*captions[first : first + batch]])
            x = few + level * torch.randn(few.shape, generator=generator).to(few)
            errors.append(network_error(pipeline.denoise(x, level, context), few, torch.tensor(level)))
    return torch.cat(errors).mean().item()


def painted(pipeline: LandscapePipeline, start: Tensor, level: float, captions: Sequence[str], batch: int) -> Tensor:
    """Windows sampled from noise of that level above `start`, (N, 3, 128, 128)."""
    sigmas = karras_sigmas(STEPS)
    sigmas = sigmas[sigmas <= level]
    generator, images = torch.Generator().manual_seed(0), []
    for first in range(0, len(start), batch):
        few = slice(first, first + batch)
        denoise = partial(pipeline.denoise, context=pipeline.encode(list(captions[few])), cfg=CFG)
        x = start[few] + sigmas[0] * torch.randn(start[few].shape, generator=generator)
        x = euler(lambda x, sigma, _, denoise=denoise: denoise(x, sigma), x, sigmas)
        images.append(pipeline.decode(x))
    return torch.cat(images)


def measured(pipeline: LandscapePipeline, zoom: str, count: int, batch: int) -> dict[str, float]:
    """The METRICS of one zoom word."""
    network, seed = load_features(pipeline.world.name), ZOOMS.index(zoom)
    windows, others = (true_windows(zoom, count, first, pipeline.world) for first in (seed, 1000 + seed))
    truth = network(others.images)
    latents = torch.cat([pipeline.autoencoder.encode(few) for few in windows.images.split(batch)])
    passed = torch.cat([pipeline.decode(few) for few in latents.split(batch)])
    alone = painted(pipeline, torch.zeros_like(latents), SIGMA_MAX, windows.captions, batch)
    sampled = {level: painted(pipeline, latents, level, windows.captions, batch) for level in FROM}
    return {
        "PSNR": psnr(passed, windows.images, max_val=1.0).item(),
        "lattice, true": lattice(windows.images),
        "lattice, through the autoencoder": lattice(passed),
        "lattice, painted": lattice(alone),
        "error": prediction_error(pipeline, latents, windows.captions, batch),
        "FID, true": fid(network(windows.images), truth),
        "FID, through the autoencoder": fid(network(passed), truth),
        **{f"FID, from noise {level:g}": fid(network(images), truth) for level, images in sampled.items()},
        "FID, painted": fid(network(alone), truth),
    }


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_world(parser)
    parser.add_argument("--windows", type=int, default=WINDOWS, help="for each zoom word")
    parser.add_argument("--zooms", nargs="+", choices=ZOOMS, default=ZOOMS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the model in bfloat16: faster on CPUs that have it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args(arguments)
    world = WORLDS[args.world]
    pipeline = LandscapePipeline(args.device, world)
    note = f"{args.windows} windows of 128 x 128 pixels a row, {STEPS} steps, CFG {CFG:g}; FID against as many others."
    table = Table(table_name("bundled-model", world), "zoom word", METRICS, note=note, device=args.device)
    for zoom in args.zooms:
        with torch.autocast(pipeline.device.type, torch.bfloat16, enabled=args.bfloat16):
            values = measured(pipeline, zoom, args.windows, args.batch)
        table.row(zoom, values, panoramas=args.windows)
    table.save(args.results)


if __name__ == "__main__":
    main()

"""The pictures that the model is trained on, drawn once and kept, and windows of them."""

import multiprocessing
import pickle
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..autoencoder import PIXELS_PER_CELL, Autoencoder
from ..dataset import Picture, caption, draw, random_window
from ..model import NATIVE
from ..vocabulary import ZOOMS
from ..worlds import LANDSCAPES, World

SHARD = 100  # pictures in a file: less than a minute of drawing
# Of the windows that the denoiser learns from. More close-ups than are drawn: they are harder to learn.
PICKED: dict[str, float] = dict(zip(ZOOMS, (0.26, 0.18, 0.1, 0.1, 0.09, 0.09, 0.09, 0.09), strict=True))


def draw_pictures(count: int, workers: int, kept: Path | None = None, world: World = LANDSCAPES) -> list[Picture]:
    """Pictures 0..count-1 of the training set; those of whole files in the folder `kept` are read from there."""
    pictures: list[Picture] = []
    with multiprocessing.Pool(workers) as pool:
        while len(pictures) < count:
            numbers = range(len(pictures), min(len(pictures) + SHARD, count))
            path = kept / f"pictures-{numbers.start}-{numbers.stop}.pickle" if kept else None
            if path and path.exists():
                pictures += pickle.loads(path.read_bytes())
                continue
            drawn = pool.map(partial(draw, world=world), numbers, chunksize=4)
            pictures += drawn
            if path:
                part = path.with_suffix(".part")
                part.write_bytes(pickle.dumps(drawn))
                part.replace(path)
                print(f"{len(pictures)} of {count} pictures", flush=True)
    return pictures


def image_crops(pictures: list[Picture], batch: int, rng: np.random.Generator, device: str) -> Tensor:
    """(B, 3, 128, 128) float windows at random places, not aligned to cells."""
    side, crops = NATIVE * PIXELS_PER_CELL, []
    for i in rng.integers(len(pictures), size=batch):
        h, w = pictures[i].image.shape[:2]
        top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
        crops.append(pictures[i].image[top : top + side, left : left + side])
    x = torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def encode_pictures(model: Autoencoder, pictures: list[Picture], device: str) -> list[Tensor]:
    """(C, h, w) latents of whole pictures. Windows of them depend on what is beyond their borders, as in a panorama."""
    latents = []
    for picture in pictures:
        x = torch.from_numpy(picture.image).to(device).permute(2, 0, 1)[None].float() / 255
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            z = model.encode(x.contiguous(memory_format=torch.channels_last))
        latents.append(z[0].float().cpu())
    return latents


def chances(pictures: list[Picture]) -> np.ndarray:
    """How often each picture is picked; 1 in all. Pictures of one zoom word share what `PICKED` gives it."""
    drawn = Counter(picture.zoom for picture in pictures)
    each = np.array([PICKED[picture.zoom] / drawn[picture.zoom] for picture in pictures])
    return each / each.sum()


def window_batch(
    pictures: list[Picture],
    latents: list[Tensor],
    picked: np.ndarray,
    batch: int,
    rng: np.random.Generator,
    world: World = LANDSCAPES,
) -> tuple[Tensor, Tensor]:
    """(B, C, 16, 16) latent windows and their (B, T) tokens; `picked` are the `chances` of the pictures."""
    views, rows = [], []
    for i in rng.choice(len(pictures), size=batch, p=picked):
        window = random_window(pictures[i], rng)
        views.append(latents[i][(slice(None), *window)])
        rows.append(world.vocabulary.padded_ids(caption(pictures[i], window, rng, world)))
    return torch.stack(views), torch.tensor(rows)

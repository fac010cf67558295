"""Paints the rows of a figure, or takes them from the gallery."""

import inspect
import sys
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from demo.autoencoder import CHANNELS
from demo.panorama import PanoramaParams, paint_panorama
from demo.pipeline import LandscapePipeline
from demo.worlds import World

from .features import WINDOW, FeatureNetwork
from .gallery import Gallery, Kept
from .measures import all_features
from .panoramas import Figure, Line
from .truth import true_panorama

HERE = Path(__file__)
ROOT = HERE.parents[2]

TRUE_PICTURES = 48  # for FID and KID
ALONE = 1000  # seeds of windows painted alone, and of true pictures in a row of the table, start here


def painted_by(world: World) -> tuple[Path, ...]:
    """What a picture of any figure depends on beside its parameters: the code and the weights that paint it."""
    folders = dict.fromkeys((ROOT / "core", ROOT / "demo", Path(inspect.getfile(world.render)).parent))
    beside = (HERE.with_name(name) for name in ("truth.py", "zooms.py", "zoom_baselines.py"))
    return (*folders, HERE, *beside, world.denoiser, world.autoencoder)


class NoisyPictures(LandscapePipeline):
    """Eq. 13 of SyncDiffusion in place of Eq. 14: a loss sees the noisy views, not the predictions."""

    def denoise(self, x: Tensor, sigma: float, context: Tensor, cfg: float = 1.0) -> Tensor:
        """The denoised prediction; but for a gradient, the view itself at variance 1, which is the paper's x_t."""
        return x / (1 + sigma**2) ** 0.5 if x.requires_grad else super().denoise(x, sigma, context, cfg)


class Painter:
    """Of one figure."""

    def __init__(self, pipeline: LandscapePipeline, gallery: Gallery, figure: Figure, bfloat16: bool):
        self.pipeline, self.gallery, self.figure, self.bfloat16 = pipeline, gallery, figure, bfloat16
        self.prompts = figure.prompts(pipeline.world)

    def row(self, line: Line) -> list[Kept]:
        """A panorama for every prompt and seed."""
        kept = []
        for prompt in self.prompts:
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
        if source == "noisy pictures":
            return self.gallery.picture(("noisy pictures", params), lambda: self.joint(params, self.noisy_pictures))
        return self.gallery.picture(params, lambda: self.joint(params))

    def joint(self, params: PanoramaParams, pipeline: LandscapePipeline | None = None) -> tuple[Tensor, int]:
        """By the core."""
        with torch.autocast(self.pipeline.device.type, torch.bfloat16, enabled=self.bfloat16):
            image, views = paint_panorama(pipeline or self.pipeline, params)
        return image[0], views

    @cached_property
    def without_map(self) -> LandscapePipeline:
        """The same model, but the latents of small pictures are taken for those of large ones."""
        pipeline = copy(self.pipeline)
        pipeline.autoencoder = deepcopy(self.pipeline.autoencoder)
        pipeline.autoencoder.half_matrix.copy_(torch.eye(CHANNELS))
        pipeline.autoencoder.half_offset.zero_()
        return pipeline

    @cached_property
    def noisy_pictures(self) -> "NoisyPictures":
        """For losses that compare what the views are now."""
        return NoisyPictures(str(self.pipeline.device), self.pipeline.world)

    def alone(self, params: PanoramaParams) -> tuple[Tensor, int]:
        """Native windows side by side that know nothing of each other."""
        seeds = range(ALONE + params.seed * self.figure.columns, ALONE + (params.seed + 1) * self.figure.columns)
        painted = [self.joint(replace(params, width=WINDOW, seed=seed)) for seed in seeds]
        return torch.cat([image for image, _ in painted], dim=2), sum(calls for _, calls in painted)

    def true_picture(self, prompt: str, seed: int) -> Kept:
        """From the world."""
        size, world = self.figure.size, self.pipeline.world
        return self.gallery.picture(
            ("world", prompt, seed, size), lambda: (true_panorama(prompt, seed, **size, world=world), 0)
        )

    def truth(self, network: FeatureNetwork) -> Tensor:
        """(windows, 64) features of true pictures of all prompts."""
        prompts = self.prompts
        images = [self.true_picture(prompts[seed % len(prompts)], seed).image for seed in range(TRUE_PICTURES)]
        return torch.cat([all_features(network, image) for image in images])

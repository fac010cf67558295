"""Zoom stacks from the bundled model, painted by `core`: `python -m demo zoom`, from the root of the repository."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import lcm
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from core.canvas.windows import Size, Window
from core.measure.frames import texture_ratios
from core.methods.multidiffusion import denoise_jointly
from core.methods.powers_of_ten import blend, render_image, render_noise
from core.zoom.between_levels import render_frames
from core.zoom.one_space import joined_in_one_space
from core.zoom.path import ZoomPath
from nodes.video_file import write_video

from .autoencoder import CHANNELS, PIXELS_PER_CELL
from .metrics import sharpness, zoom_inconsistency
from .model import DOWNSAMPLING, NATIVE
from .panorama import landscape_windows, scale_map_of
from .pipeline import LandscapePipeline
from .sampling import check_sampling, check_side, karras_sigmas
from .vocabulary import ZOOMS

BLENDINGS = ("pixel", "latent", "mixed", "none")
SAMPLERS = {"ancestral": 1.0, "euler": 0.0}  # eta of `ancestral_step`
PROMPTS = tuple(f"spring dawn {zoom} meadow" for zoom in ZOOMS)

Merge = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class ZoomParams:
    """One zoom stack; height and width of every level in pixels."""

    prompts: tuple[str, ...] = PROMPTS  # one for each level, the most zoomed out first
    zoom_factor: int = 2
    height: int = 128
    width: int = 128
    seed: int = 0
    steps: int = 30
    cfg: float = 3.0
    sampler: str = "ancestral"
    blending: str = "mixed"  # `none` paints every level alone
    pixel_steps: int = 1  # mixed: the last steps, in which levels are joined in pixels
    shared_noise: bool = True  # all noise, that of the start included, is from `render_noise`
    stride: int = 8  # latent cells between the windows of a level larger than the model's native one

    def __post_init__(self) -> None:
        check_sampling(self.steps, self.cfg)
        for field, known in (("blending", BLENDINGS), ("sampler", tuple(SAMPLERS))):
            if getattr(self, field) not in known:
                raise ValueError(f"{field}: must be one of {', '.join(known)}, got {getattr(self, field)!r}.")
        if len(self.prompts) < 2:
            raise ValueError(f"prompts: a zoom stack has at least 2 levels, got {len(self.prompts)}.")
        if self.zoom_factor < 2:
            raise ValueError(f"zoom_factor: must be at least 2, got {self.zoom_factor}.")
        if not 0 <= self.pixel_steps <= self.steps:
            raise ValueError(f"pixel_steps: must be in 0..{self.steps} (the steps), got {self.pixel_steps}.")
        # For multiples of this, every level lies exactly in the middle of the one before.
        multiple = lcm(PIXELS_PER_CELL * DOWNSAMPLING, 2 * self.zoom_factor * PIXELS_PER_CELL)
        least = -(-PIXELS_PER_CELL * NATIVE // multiple) * multiple
        for name, side in (("height", self.height), ("width", self.width)):
            check_side(name, side, multiple, least, f" for zoom_factor = {self.zoom_factor}")

    def in_pixels(self, step: int) -> bool:
        """Whether a step joins the levels in pixels, not in latents."""
        return self.blending == "pixel" or (self.blending == "mixed" and step >= self.steps - self.pixel_steps)


class Zoom(NamedTuple):
    """A finished zoom stack and its cost; images (N, 3, H, W) in [0, 1]."""

    sampled: Tensor  # the result of the sampler
    levels: Tensor  # the same, joined once more: this is shown
    views: int  # views denoised


def blend_decoded(levels: Tensor, zoom_factor: int, pixels_per_cell: int) -> Tensor:
    """`blend` of latents, or of their decoded pixels."""
    return blend(levels, zoom_factor, pixels_per_cell, decoded=pixels_per_cell > 1)


def paint_zoom(
    pipeline: LandscapePipeline,
    params: ZoomParams,
    on_step: Callable[[int, int], None] | None = None,
    merge: Merge = blend_decoded,
) -> Zoom:
    """Algorithm 2 of Generative Powers of Ten, as `core.methods.powers_of_ten` reads it.

    `merge` turns observations into layers: (levels, p, pixels per cell) -> levels.
    """
    height, width = params.height // PIXELS_PER_CELL, params.width // PIXELS_PER_CELL
    windows, contexts = landscape_windows(params.stride), pipeline.encode(list(params.prompts))
    generator = torch.Generator().manual_seed(params.seed)
    sigmas = karras_sigmas(params.steps).tolist()
    scale_map, before = scale_map_of(pipeline), pipeline.views

    def noise() -> Tensor:
        drawn = torch.randn((len(params.prompts), CHANNELS, height, width), generator=generator).to(pipeline.device)
        return render_noise(drawn, params.zoom_factor) if params.shared_noise else drawn

    def denoise(views: Tensor, sigma: float, seen: Sequence[Window], _canvas: Size) -> Tensor:
        return pipeline.denoise(views, sigma, contexts.repeat(len(seen), 1, 1), params.cfg)

    def join(levels: Tensor, pixels_per_cell: int) -> Tensor:
        layers = merge(levels, params.zoom_factor, pixels_per_cell)
        return render_image(layers, params.zoom_factor, pixels_per_cell, decoded=pixels_per_cell > 1)

    def join_latents(levels: Tensor) -> Tensor:
        return joined_in_one_space(levels, params.zoom_factor, scale_map, partial(join, pixels_per_cell=1))

    def joined(denoised: Tensor, step: int) -> Tensor:
        if params.blending == "none":
            return denoised
        if not params.in_pixels(step):
            return join_latents(denoised)
        images = pipeline.decode(denoised)
        encode = pipeline.autoencoder.encode
        # Only the change passes the autoencoder, so its loss does not accumulate over the steps.
        return denoised + encode(join(images, PIXELS_PER_CELL)) - encode(images)

    with torch.no_grad():
        x = noise() * (1 + sigmas[0] ** 2) ** 0.5
        for step in range(params.steps):
            denoised = joined(denoise_jointly(x, sigmas[step], denoise, windows), step)
            x = ancestral_step(x, denoised, sigmas[step], sigmas[step + 1], SAMPLERS[params.sampler], noise)
            if on_step:
                on_step(step + 1, params.steps)
        sampled = pipeline.decode(x)
    levels = sampled if params.blending == "none" else join(sampled, PIXELS_PER_CELL).clamp(0, 1)
    return Zoom(sampled, levels, pipeline.views - before)


def ancestral_step(
    x: Tensor, denoised: Tensor, sigma: float, after: float, eta: float, noise: Callable[[], Tensor]
) -> Tensor:
    """One step from the noise level sigma to `after`: DDPM (eta 1) or Euler (eta 0), which does not call `noise`.

    DDPM in sigma space: a part of the noise is replaced by new noise of the same variance.
    """
    new = eta * after * (1 - (after / sigma) ** 2) ** 0.5
    kept = (after**2 - new**2) ** 0.5 / sigma
    x = denoised + kept * (x - denoised)
    return x + new * noise() if new > 0 else x


def measure_zoom(zoom: Zoom, zoom_factor: int) -> dict[str, float | list[float]]:
    """The inconsistency of the levels as sampled, and frames and sharpness of the result, joined once more."""
    between = zoom_inconsistency(zoom.sampled, zoom_factor)
    return {
        "zoom_inconsistency": between.mean().item(),
        "zoom_inconsistency_per_level": between.tolist(),
        "texture_ratio_per_level": texture_ratios(zoom.levels, zoom_factor, PIXELS_PER_CELL).tolist(),
        "sharpness_per_level": sharpness(zoom.levels).tolist(),
    }


def write_zoom_video(levels: Tensor, zoom_factor: int, path: Path) -> None:
    """A video of the zoom from the first level to the last one and back, 45 frames per level, 30 per second."""
    zooms = ZoomPath(frames_per_level=45, direction="in and out", easing="ease in-out").zooms(len(levels))
    write_video(path, render_frames(levels, zooms, zoom_factor, pixels_per_cell=PIXELS_PER_CELL), 30)

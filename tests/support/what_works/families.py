"""The families of models: for each of them a tiny model that listens to its prompts, and what its latents are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from sampling_run import lively

PIXELS = Size(64, 128)  # of the canvas, in all families: two windows wide, and as many tokens in each of them
SEED = 1


@dataclass(frozen=True)
class Family:
    """What a family is.

    Attributes:
        build: makes the tiny model.
        shape: of a latent, between its batch and its cells.
        pooled: width of the pooled text in its prompts; None if there is none.
        pixels_per_cell: 1 where the model paints in pixels.
        inpainting: makes the model of the family that is shown a picture and a mask, if there is one.
    """

    build: Callable[[], Any]
    shape: tuple[int, ...]
    pooled: int | None = None
    pixels_per_cell: int = 8
    inpainting: Callable[[], Any] | None = None

    def cells(self, eighths: int) -> int:
        """So many times 8 pixels, in cells."""
        return eighths * 8 // self.pixels_per_cell

    @property
    def canvas(self) -> Size:
        return Size(*(side // self.pixels_per_cell for side in PIXELS))

    @property
    def windows(self) -> WindowParams:
        side, stride, grid = (self.cells(eighths) for eighths in (8, 4, 2))
        return WindowParams(window=Size(side, side), stride=Size(stride, stride), grid=grid, seed=SEED)

    def prompt(self, seed: int, **conditions: Any) -> list:
        if self.pooled:
            conditions = {"pooled_output": torch.linspace(-1, 1, self.pooled)[None] * seed, **conditions}
        return tiny_models.prompt(seed, **conditions)

    def noise(self, seed: int) -> torch.Tensor:
        """A latent of the canvas that is as good as a picture."""
        return torch.randn(1, *self.shape, *self.canvas, generator=torch.Generator().manual_seed(seed))

    def across(self, values: torch.Tensor) -> torch.Tensor:
        """(16,) values, one for 8 pixels from left to right, as a mask (1, h, w) of the canvas."""
        return values.repeat_interleave(self.cells(1)).repeat(1, self.canvas.height, 1)


FAMILIES = {
    "SD 1.5": Family(tiny_models.sd15, (4,), inpainting=lambda: tiny_models.sd15(inpaint=True)),
    "SDXL": Family(tiny_models.sdxl, (4,), pooled=1280, inpainting=lambda: tiny_models.sdxl(inpaint=True)),
    "SD 3": Family(tiny_models.sd3, (16,), pooled=32),
    "Flux": Family(tiny_models.flux, (16,), pooled=32, inpainting=lambda: tiny_models.flux(inpaint=True)),
    "Qwen-Image": Family(tiny_models.qwen_image, (16, 1)),
    "Z-Image": Family(tiny_models.z_image, (16,)),
    "Wan": Family(tiny_models.wan, (16, 1), inpainting=lambda: tiny_models.wan(inpaint=True)),
    "Chroma Radiance (pixels)": Family(tiny_models.chroma_radiance, (3,), pixels_per_cell=1),
}


def fresh(family: str) -> Any:
    """A model of its own, for what changes weights."""
    return lively(FAMILIES[family].build())


@cache
def model_of(family: str) -> Any:
    return fresh(family)


@cache
def inpainting_model_of(family: str) -> Any:
    build = FAMILIES[family].inpainting
    assert build is not None, family
    return lively(build())


@cache
def _autoencoder(channels: int) -> Any:
    return tiny_models.vae(channels)


def vae_of(family: str) -> Any:
    paints_pixels = FAMILIES[family].pixels_per_cell == 1
    return tiny_models.pixel_space_vae() if paints_pixels else _autoencoder(FAMILIES[family].shape[0])


def picture(seed: int = 2) -> torch.Tensor:
    """An IMAGE of the size of the canvas."""
    return torch.rand(1, *PIXELS, 3, generator=torch.Generator().manual_seed(seed))

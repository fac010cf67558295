"""Enlarging tile after tile, as Ultimate SD Upscale does it: what enlarging all windows together is compared with.

The picture is enlarged first. Then every tile is painted over by itself (img2img), with some of its surroundings as
they are at that moment, and laid on the picture through a mask with a soft edge. Row by row from the left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from core.canvas.windows import Size, Window, canvas_size, crop
from demo.panorama import Panorama
from demo.pipeline import LandscapePipeline
from demo.sampling import euler, noisy_start, partial_sigmas

from .features import WINDOW


@dataclass(frozen=True, kw_only=True)
class TileParams:
    """One picture enlarged tile after tile."""

    upscale_by: int
    prompt: str  # for all tiles
    denoise: float  # above 0, at most 1
    seed: int = 0
    steps: int = 20
    cfg: float = 2.0
    padding: int = 16  # pixels of the surroundings that a tile sees on each side; with them it is a native window
    blur: float = 4.0  # standard deviation in pixels of the edge of the masks

    @property
    def tile(self) -> int:
        """Its side in pixels."""
        return WINDOW - 2 * self.padding


def tiles(canvas: Size, side: int) -> Iterator[Window]:
    """Tiles from the upper left corner; those of the last row and column are smaller where they do not fit."""
    for top in range(0, canvas.height, side):
        for left in range(0, canvas.width, side):
            yield Window(top, left, min(side, canvas.height - top), min(side, canvas.width - left))


def seen_with(tile: Window, canvas: Size, padding: int) -> Window:
    """The native window around a tile, moved into the picture at its edges."""
    top = min(max(tile.top - padding, 0), canvas.height - WINDOW)
    left = min(max(tile.left - padding, 0), canvas.width - WINDOW)
    return Window(top, left, WINDOW, WINDOW)


def enlarge_by_tiles(pipeline: LandscapePipeline, picture: Tensor, params: TileParams) -> Panorama:
    """The picture (1, 3, H, W) in [0, 1], `upscale_by` times as large."""
    image = nn.functional.interpolate(picture, scale_factor=float(params.upscale_by), mode="bicubic").clamp(0, 1)
    canvas, before = canvas_size(image), pipeline.views
    context = pipeline.encode([params.prompt])
    sigmas = partial_sigmas(params.steps, params.denoise)

    def predict(x: Tensor, sigma: float, _after: float) -> Tensor:
        return pipeline.denoise(x, sigma, context, params.cfg)

    for number, tile in enumerate(tiles(canvas, params.tile)):
        window = seen_with(tile, canvas, params.padding)
        start = pipeline.autoencoder.encode(crop(image, window))
        x = noisy_start(start, params.seed + number, sigmas[0], params.denoise)
        painted = pipeline.decode(euler(predict, x, sigmas))
        mask = torch.zeros_like(image[:, :1])
        crop(mask, tile)[:] = 1
        mask = crop(gaussian_blur2d(mask, (_odd(params.blur), _odd(params.blur)), (params.blur, params.blur)), window)
        crop(image, window)[:] = crop(image, window) * (1 - mask) + painted * mask
    return Panorama(image, pipeline.views - before)


def _odd(blur: float) -> int:
    """Pixels of a kernel that reaches three standard deviations."""
    return 2 * round(3 * blur) + 1

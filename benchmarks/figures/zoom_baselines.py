"""What Generative Powers of Ten is compared with in its section 5.2: every level is made from the one before it.

outpainting         from the innermost level outwards: the level before, made smaller, stands in the middle, and the
                    model paints what is around it. In the middle the prediction of each step is replaced (Lugmayr et
                    al. 2022, RePaint, without its jumps back in time)
super-resolution    from the outermost level inwards: the middle of the level before, enlarged, with new details by
                    structure guidance, as `python -m demo enlarge` does it

Nothing that is made later changes what was made before.
"""

from functools import partial

import torch
from torch import Tensor, nn

from core.canvas.windows import Size, Window, crop
from core.zoom.geometry import nesting
from demo.autoencoder import CHANNELS, PIXELS_PER_CELL
from demo.enlarge import EnlargeParams, enlarge_picture
from demo.pipeline import LandscapePipeline
from demo.sampling import karras_sigmas
from demo.zoom import SAMPLERS, Zoom, ZoomParams, ancestral_step


def outpainting(pipeline: LandscapePipeline, params: ZoomParams) -> Zoom:
    """Levels of the model's native size."""
    before, inner = pipeline.views, None
    levels: list[Tensor] = []
    for level in reversed(range(len(params.prompts))):
        inner = painted_around(pipeline, params, level, inner)
        levels.insert(0, inner)
    return _finished(levels, pipeline.views - before)


def super_resolution(pipeline: LandscapePipeline, params: ZoomParams) -> Zoom:
    """Levels of the model's native size."""
    before = pipeline.views
    levels = [painted_around(pipeline, params, 0, None)]
    for level, prompt in enumerate(params.prompts[1:], start=1):
        middle = crop(levels[-1], _middle(params))
        how = EnlargeParams(
            upscale_by=params.zoom_factor, prompt=prompt, seed=params.seed + level, steps=params.steps, cfg=params.cfg
        )
        levels.append(enlarge_picture(pipeline, middle, how).image)
    return _finished(levels, pipeline.views - before)


def painted_around(pipeline: LandscapePipeline, params: ZoomParams, level: int, inner: Tensor | None) -> Tensor:
    """A level (1, 3, H, W) with the one inside it made smaller in its middle; alone if there is none."""
    generator = torch.Generator().manual_seed(1000 * params.seed + level)
    shape = (1, CHANNELS, params.height // PIXELS_PER_CELL, params.width // PIXELS_PER_CELL)
    noise = partial(torch.randn, shape, generator=generator)
    context, sigmas = pipeline.encode([params.prompts[level]]), karras_sigmas(params.steps).tolist()
    top, left, height, width = _middle(params)
    small = known = None
    if inner is not None:
        small = nn.functional.interpolate(inner, (height, width), mode="area")
        around = (left, params.width - left - width, top, params.height - top - height)
        known = pipeline.autoencoder.encode(nn.functional.pad(small, around, mode="replicate"))
    rows, columns = (
        slice(start // PIXELS_PER_CELL, (start + length) // PIXELS_PER_CELL)
        for start, length in ((top, height), (left, width))
    )
    x = noise() * (1 + sigmas[0] ** 2) ** 0.5
    for step in range(params.steps):
        denoised = pipeline.denoise(x, sigmas[step], context, params.cfg)
        if known is not None:
            denoised[..., rows, columns] = known[..., rows, columns]
        x = ancestral_step(x, denoised, sigmas[step], sigmas[step + 1], SAMPLERS[params.sampler], noise)
    image = pipeline.decode(x)
    if small is not None:
        image[..., top : top + height, left : left + width] = small
    return image


def _middle(params: ZoomParams) -> Window:
    """Where a level shows the next one, in pixels."""
    return nesting(Size(params.height, params.width), params.zoom_factor, PIXELS_PER_CELL).outer


def _finished(levels: list[Tensor], views: int) -> Zoom:
    stack = torch.cat(levels).clamp(0, 1)
    return Zoom(stack, stack, views)

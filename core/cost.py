"""What a joint step costs, known before it runs."""

from .multidiffusion import WindowParams
from .multiscale import MultiScaleParams, scale_sizes
from .windows import Size


def views_per_step(canvas: Size, windows: WindowParams, multiscale: MultiScaleParams | None = None) -> int:
    """How many views the model denoises in one (guided) step; each is one row of a model batch, or two with CFG.

    Plain MultiDiffusion looks once through every window. Multi-Scale Diffusion also denoises the coarsest scale, looks
    through every window of each finer one to find out how to move it, and steps the scales in between.
    """
    scales = multiscale.scales if multiscale is not None and multiscale.weight_at(0.0) > 0 else 1
    counts = [len(windows.plan(size)) for size in scale_sizes(canvas, scales)]
    finest, *_ = counts
    if scales == 1:
        return finest
    *finer, coarsest = counts
    return finest + coarsest + sum(finer) + sum(finer[1:])

"""The cost of a joint step, known before it runs."""

from ..canvas.windows import Size
from ..joint_step import JointParams
from ..methods.multiscale import scale_sizes
from ..step import Step


def views_per_step(canvas: Size, params: JointParams, step: Step) -> int:
    """How many views the model denoises in this step. Each is one row of a model batch, or two with CFG.

    One view for every window of every scale. With guidance by gradients it is two, except at the coarsest scale of
    Multi-Scale Diffusion, which nothing guides.
    """
    sizes = scale_sizes(canvas, params.coarser_scales(canvas, step) + 1)
    finest, *coarser = [len(params.windows_at(step, coarse=size != canvas).plan(size)) for size in sizes]
    multiscale, sync = params.multiscale, params.sync
    by_scales = multiscale is not None and multiscale.needs_gradients and bool(coarser)
    by_sync = sync is not None and sync.needs_gradients and sync.weight_at(step) > 0
    views = finest + sum(coarser)
    if by_scales:
        views += sum(coarser[:-1])
    return views + (finest if by_scales or by_sync else 0)

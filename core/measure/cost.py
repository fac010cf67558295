"""The cost of a joint step, known before it runs."""

from ..canvas.windows import Size
from ..joint_params import JointParams
from ..methods.multiscale import scale_sizes
from ..step import Step


def views_per_step(canvas: Size, params: JointParams, step: Step) -> int:
    """How many views the model denoises in this step. Each is one row of a model batch, or two with CFG.

    One view for every window of every scale. With guidance by gradients it is two, except at the coarsest scale of
    Multi-Scale Diffusion, which nothing guides.
    """
    sizes = scale_sizes(canvas, params.coarser_scales(canvas, step) + 1 - params.follows_picture(step))
    views = [len(params.windows_at(step, coarse=size != canvas).plan(size)) for size in sizes]
    multiscale, sync = params.multiscale, params.sync
    if multiscale is not None and multiscale.needs_gradients and len(views) > 1:
        return sum(views) + sum(views[:-1])
    if sync is not None and sync.needs_gradients and sync.weight_at(step) > 0:
        return sum(views) + views[0]
    return sum(views)

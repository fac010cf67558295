"""What a joint step costs, known before it runs."""

from ..canvas.windows import Size
from ..joint_step import JointParams
from ..methods.multiscale import scale_sizes
from ..step import Step


def views_per_step(canvas: Size, params: JointParams, step: Step) -> int:
    """How many views the model denoises in this step; each is one row of a model batch, or two with CFG.

    One look at every window of every scale. Guidance by gradients looks at the windows twice, but at those of the
    coarsest scale, which nothing guides.
    """
    sizes = scale_sizes(canvas, params.coarser_scales(canvas, step) + 1 - params.follows_picture(step))
    finest, *coarser = [len(params.windows_at(step, coarse=size != canvas).plan(size)) for size in sizes]
    multiscale, sync = params.multiscale, params.sync
    by_scales = multiscale is not None and multiscale.needs_gradients and bool(coarser)
    by_look = sync is not None and sync.needs_gradients and sync.weight_at(step) > 0
    looks = finest + sum(coarser)
    if by_scales:
        looks += sum(coarser[:-1])
    return looks + (finest if by_scales or by_look else 0)

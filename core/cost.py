"""What a joint step costs, known before it runs."""

from .joint_step import JointParams
from .multiscale import scale_sizes
from .step import Step
from .windows import Size


def views_per_step(canvas: Size, params: JointParams, step: Step) -> int:
    """How many views the model denoises in this step; each is one row of a model batch, or two with CFG.

    Plain MultiDiffusion looks once through every window. A guided step first looks through every window to find out
    how to move it, however many methods guide; Multi-Scale Diffusion also denoises the coarsest scale, and looks
    through and steps the scales in between.
    """
    windows = params.windows_at(step)
    finest = len(windows.plan(canvas))
    if not params.is_guided(step):
        return finest
    multiscale = params.multiscale_at(step)
    if multiscale is None:
        return 2 * finest
    *middle, coarsest = [len(windows.plan(size)) for size in scale_sizes(canvas, multiscale.scales)[1:]]
    return 2 * finest + 2 * sum(middle) + coarsest

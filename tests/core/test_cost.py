"""The announced cost of a step against the views that a model is really shown."""

import pytest
import torch
from joint_diffusion.core.cost import views_per_step
from joint_diffusion.core.joint_step import JointParams, denoise_step
from joint_diffusion.core.multidiffusion import WindowParams
from joint_diffusion.core.multiscale import MultiScaleParams
from joint_diffusion.core.step import Step
from joint_diffusion.core.syncdiffusion import SyncParams
from joint_diffusion.core.twindiffusion import CrossSamplingParams
from joint_diffusion.core.windows import Size, Wrap

CROSS = CrossSamplingParams(groups=2, cross_stride=Size(4, 6))


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)], ids=str)
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("target", ["jacobian_free", "matched", "literal"])
@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("sync", [None, SyncParams(), SyncParams(weight=0.0), SyncParams(every=2)])
@pytest.mark.parametrize("cross", [None, CROSS])
def test_views_are_counted_before_they_are_made(cross, sync, scales, target, weight, wrap):
    canvas, seen = Size(32, 64), []

    def denoise(views, sigma, windows, canvas):
        seen.append(len(views))
        return 0.5 * views

    windows = WindowParams(window=Size(16, 16), stride=Size(8, 12), wrap=wrap)
    multiscale = MultiScaleParams(scales=scales, target=target, weight=weight)
    params = JointParams(windows=windows, multiscale=multiscale, sync=sync, cross_sampling=cross)
    step = Step(sigma=2.0, kept=0.5, index=1, count=10)
    denoise_step(torch.randn(1, 4, *canvas), step, denoise, params)
    assert sum(seen) == views_per_step(canvas, params, step)


def test_without_guidance_each_window_is_one_view():
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8))
    step = Step(sigma=1.0, kept=0.5, index=0, count=1)
    assert views_per_step(Size(16, 64), JointParams(windows=windows), step) == 7

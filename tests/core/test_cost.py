"""The announced cost of a step against the views that a model is really shown."""

import pytest
import torch
from joint_diffusion.core.cost import views_per_step
from joint_diffusion.core.multidiffusion import WindowParams
from joint_diffusion.core.multiscale import MultiScaleParams, Step, denoise_multiscale
from joint_diffusion.core.windows import Size, Wrap


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)], ids=str)
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("target", ["jacobian_free", "matched", "literal"])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_views_are_counted_before_they_are_made(scales, target, weight, wrap):
    canvas, seen = Size(32, 64), []

    def denoise(views, sigma, windows, canvas):
        seen.append(len(views))
        return 0.5 * views

    windows = WindowParams(window=Size(16, 16), stride=Size(8, 12), wrap=wrap)
    params = MultiScaleParams(scales=scales, target=target, weight=weight)
    denoise_multiscale(torch.randn(1, 4, *canvas), Step(sigma=2.0, kept=0.5, progress=0.0), denoise, windows, params)
    assert sum(seen) == views_per_step(canvas, windows, params)


def test_without_guidance_each_window_is_one_view():
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8))
    assert views_per_step(Size(16, 64), windows) == 7

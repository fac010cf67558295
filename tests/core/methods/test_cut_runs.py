"""A run that is cut in two is the whole run, whatever guides it: nothing goes by the number of a step."""

from itertools import pairwise

import pytest
import torch
from analytic import convolution
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.joint_params import JointParams, check_canvas
from joint_diffusion.core.joint_step import denoise_step
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.step import Step

SIGMAS = [9.0, 4.0, 1.6, 0.8, 0.4, 0.15, 0.0]
MOVING = {"moving": True, "seed": 3}
METHODS = {
    "msd": ({"multiscale": MultiScaleParams()}, {}),
    "msd, gradient": ({"multiscale": MultiScaleParams(guidance="gradient", weight=2.0)}, {}),
    "sync": ({"sync": SyncParams()}, {}),
    "sync, gradient": ({"sync": SyncParams(guidance="gradient")}, {}),
    "twin": ({"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()}, {}),
    "moving": ({}, MOVING),
    "all": ({"multiscale": MultiScaleParams(), "sync": SyncParams(), "crop_fusion": CropFusionParams()}, MOVING),
}


def run(x, sigmas, params):
    for index, (sigma, after) in enumerate(pairwise(sigmas)):
        step = Step(sigma=sigma, kept=after / sigma, index=index, count=len(sigmas) - 1)
        denoised = denoise_step(x, step, convolution(), params)
        x = denoised + after / sigma * (x - denoised)
    return x


@pytest.mark.parametrize("name", METHODS)
def test_three_steps_and_three_are_six(name):
    methods, windows = METHODS[name]
    params = JointParams(windows=WindowParams(window=Size(8, 8), stride=Size(4, 4), **windows), **methods)
    x = SIGMAS[0] * torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(5))
    whole = run(x, SIGMAS, params)
    assert torch.equal(run(run(x, SIGMAS[:4], params), SIGMAS[3:], params), whole)
    plain = run(x, SIGMAS, JointParams(windows=WindowParams(window=Size(8, 8), stride=Size(4, 4))))
    assert (whole - plain).abs().max() > 1e-3


def test_windows_that_move_are_others_with_another_seed():
    x = SIGMAS[0] * torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(5))
    runs = []
    for seed in (3, 4):
        windows = WindowParams(window=Size(8, 8), stride=Size(4, 4), moving=True, seed=seed)
        runs.append(run(x, SIGMAS, JointParams(windows=windows)))
    assert not torch.allclose(*runs, atol=1e-3)


def test_windows_that_move_need_no_cross_sampling():
    windows = WindowParams(window=Size(8, 8), stride=Size(4, 4), moving=True)
    with pytest.raises(ValueError, match="cross_sampling: moving windows already do what Cross Sampling does; turn"):
        check_canvas(Size(16, 24), JointParams(windows=windows, cross_sampling=CrossSamplingParams()))

"""Models that paint in pixels: a cell is a pixel, and windows lie on patches of 16; against the host on views alone."""

from functools import cache

import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Wrap, crop
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from sampling_run import lively, run
from tiny_models import prompt
from window_run import sampled_by_hand

pytestmark = pytest.mark.usefixtures("inference_mode")

CANVAS, SHAPE = Size(64, 128), (1, 3, 64, 128)
WINDOWS = {"window": Size(64, 64), "stride": Size(32, 32), "weights": "gaussian", "grid": 16}
SIGMAS = torch.tensor([1.0, 0.6, 0.3])
MASK = torch.linspace(-1, 1, 128).clamp(min=0).repeat(1, 64, 1)


@cache
def model():
    return lively(tiny_models.chroma_radiance())


def positive(mask):
    return prompt(1) + prompt(3, mask=mask)


@pytest.mark.parametrize(
    ("windows", "multiscale"),
    [({}, None), ({"wrap": Wrap(x=True)}, None), ({}, MultiScaleParams(scales=2))],
    ids=["overlapping", "wrap", "multi-scale"],
)
def test_a_whole_run_equals_a_literal_loop(windows, multiscale):
    params = JointParams(windows=WindowParams(**WINDOWS, **windows), multiscale=multiscale)

    def of_window(window, canvas):
        mask = MASK if canvas == CANVAS else downsample(MASK, 2)
        return model(), positive(crop(mask, window)), prompt(2)

    def found(prompts):
        joint = with_settings(model(), windows=params.windows, multiscale=multiscale)
        return run(joint, torch.zeros(SHAPE), steps=2, cfg=4.0, prompt=prompts, sigmas=SIGMAS)

    expected = sampled_by_hand(of_window, params, SHAPE, SIGMAS, 4.0)
    result = found((positive(MASK), prompt(2)))
    error = (result - expected).abs().max()
    assert error < 1e-4 * expected.abs().max()
    assert (result - found((prompt(1), prompt(2)))).abs().max() > 10 * error


def test_windows_off_its_patches_are_refused():
    with pytest.raises(ValueError, match=r"must be a multiple of 16 pixels, the grid of this model.* got 72; nearest"):
        PanoramaWindows.execute(model(), 72, 64, 0.5, "overlapping", True, False)

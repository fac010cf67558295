"""The announced cost of a step against the views that a model is really shown."""

import pytest
import torch
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.joint_step import denoise_step
from joint_diffusion.core.measure.cost import views_per_step
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.step import Step

LETTER = {"guidance": "gradient"}
METHODS = {
    "nothing": {},
    "two scales": {"multiscale": MultiScaleParams(scales=2)},
    "three scales": {"multiscale": MultiScaleParams(scales=3)},
    "no strength": {"multiscale": MultiScaleParams(strength=0.0)},
    "sync": {"sync": SyncParams()},
    "both, crop fusion": {"multiscale": MultiScaleParams(), "sync": SyncParams(), "crop_fusion": CropFusionParams()},
    "three scales, gradient": {"multiscale": MultiScaleParams(scales=3, **LETTER)},
    "sync, gradient": {"sync": SyncParams(**LETTER)},
    "both, gradient": {"multiscale": MultiScaleParams(scales=2, **LETTER), "sync": SyncParams(**LETTER)},
    "projected, and sync by a gradient": {"multiscale": MultiScaleParams(scales=2), "sync": SyncParams(**LETTER)},
}


GUIDED = ("two scales", "both, gradient", "both, crop fusion")
CASES = [
    *((name, "at rest", 2.0) for name in METHODS),
    *((name, where, 2.0) for name in GUIDED for where in ("around a loop", "moving", "taking turns")),
    # Where so little noise is left that corrections rest, but for those by gradients.
    *((name, "at rest", 0.2) for name in ("three scales", "both, gradient", "projected, and sync by a gradient")),
    ("both, crop fusion", "taking turns", 0.2),
]


@pytest.mark.parametrize(("name", "where", "sigma"), CASES)
def test_views_are_counted_before_they_are_made(name, where, sigma):
    canvas, seen = Size(32, 64), []

    def denoise(views, sigma, windows, canvas):
        seen.append(len(views))
        return 0.5 * views

    windows = WindowParams(
        window=Size(16, 16), stride=Size(8, 12), wrap=Wrap(x=where == "around a loop"), moving=where == "moving"
    )
    turns = CrossSamplingParams(groups=2, cross_stride=Size(4, 6)) if where == "taking turns" else None
    params = JointParams(windows=windows, cross_sampling=turns, **METHODS[name])
    step = Step(sigma=sigma, kept=0.5, index=1, count=10)
    denoise_step(torch.randn(1, 4, *canvas), step, denoise, params)
    assert sum(seen) == views_per_step(canvas, params, step)


def test_without_guidance_each_window_is_one_view():
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8))
    assert views_per_step(Size(16, 64), JointParams(windows=windows), Step(sigma=1.0)) == 7

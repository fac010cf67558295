"""Guidance of flow models is that of all others: the same pictures, seen as (1 - sigma) x0 + sigma n."""

from contextlib import nullcontext

import pytest
import torch
from analytic import MeanAndSpread, convolution
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.joint_step import Aids, denoise_step
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.perception.similarity import LatentSimilarity, PictureSimilarity
from joint_diffusion.core.step import Step

SIGMA, SIGMA_NEXT = 0.6, 0.45  # of the flow


LETTER = {"guidance": "gradient"}
METHODS = {
    "msd": {"multiscale": MultiScaleParams(scales=2)},
    "msd, gradient": {"multiscale": MultiScaleParams(scales=3, weight=1.0, **LETTER)},
    "sync": {"sync": SyncParams()},
    "sync, gradient": {"sync": SyncParams(decay=1.0, **LETTER)},
    "both": {"multiscale": MultiScaleParams(), "sync": SyncParams()},
    "both, gradient": {"multiscale": MultiScaleParams(**LETTER), "sync": SyncParams(decay=1.0, **LETTER)},
}


def stepped(x, sigma, after, flow, denoise, params, similarity):
    kept = after / sigma
    step = Step(sigma=sigma, kept=kept, index=0, count=10, flow=flow)
    aids = Aids(comparing=lambda _: nullcontext(similarity or LatentSimilarity()))
    return kept * x + (1 - kept) * denoise_step(x, step, denoise, params, aids)


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_lands_at_the_same_picture(method, pictures):
    x = 2 * torch.randn(1, 3, 16, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    params = JointParams(windows=WindowParams(window=Size(8, 8), stride=Size(4, 4)), **METHODS[method])
    similarity = PictureSimilarity(MeanAndSpread(), torch.tanh, at_once=3) if pictures else None
    noisy = convolution()

    def denoise(views, sigma, windows, canvas):
        return noisy(views / (1 - sigma), sigma / (1 - sigma))

    noise_levels = [level / (1 - level) for level in (SIGMA, SIGMA_NEXT)]
    expected = stepped(x, *noise_levels, False, noisy, params, similarity)
    landed = stepped((1 - SIGMA) * x, SIGMA, SIGMA_NEXT, True, denoise, params, similarity)
    torch.testing.assert_close(landed / (1 - SIGMA_NEXT), expected, rtol=1e-9, atol=1e-9)
    unguided = JointParams(windows=params.windows)
    assert (expected - stepped(x, *noise_levels, False, noisy, unguided, None)).abs().max() > 0.01

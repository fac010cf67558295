"""Every sampler of the host, guided and not, on the bundled model."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from joint_diffusion.core.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.sampling import with_settings

STEPS = 6
HALF_A_WINDOW_HIGH_AT_THE_COARSE_SCALE = (1, 8, 16, 32)


@pytest.fixture(scope="module")
def conditioning():
    with torch.inference_mode():
        clip = demo_clip()
        return [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer day", "")]


@pytest.fixture(scope="module")
def models():
    model = demo_model()
    guidance = MultiScaleParams()
    return with_settings(model), with_settings(model, multiscale=guidance)


@pytest.mark.parametrize("scheduler", ["simple", "normal", "karras"])
@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_guidance_blows_no_sampler_up(models, conditioning, sampler, scheduler):
    latent = torch.zeros(HALF_A_WINDOW_HIGH_AT_THE_COARSE_SCALE)
    noise = comfy.sample.prepare_noise(latent, 7)
    with torch.inference_mode():
        plain, guided = (
            comfy.sample.sample(
                model, noise, STEPS, 2.0, sampler, scheduler, *conditioning, latent, seed=7, disable_pbar=True
            )
            for model in models
        )
    assert plain.isfinite().all() and guided.isfinite().all()
    assert guided.std() < 1.5 * plain.std()
    assert not torch.equal(guided, plain)

"""Every sampler and every scheduler of the host, corrected and not, on the bundled model."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.windows.patch import with_settings

STEPS = 6
CANVAS = (1, 8, 32, 32)
GUIDANCE = {"multiscale": MultiScaleParams(), "sync": SyncParams()}


@pytest.fixture(scope="module")
def conditioning():
    with torch.inference_mode():
        clip = demo_clip()
        return [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer day", "")]


@pytest.fixture(scope="module")
def models():
    model = demo_model()
    return with_settings(model), with_settings(model, **GUIDANCE)


def sample(model, conditioning, sampler, scheduler, **options):
    latent = torch.zeros(CANVAS)
    noise = comfy.sample.prepare_noise(latent, 7)
    settings = {"seed": 7, "disable_pbar": True, **options}
    cfg = 1.0 if "cfg_pp" in sampler else 2.0
    with torch.inference_mode():
        return comfy.sample.sample(model, noise, STEPS, cfg, sampler, scheduler, *conditioning, latent, **settings)


@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_every_sampler_samples_the_corrected_prediction(models, conditioning, sampler):
    plain, guided = (sample(model, conditioning, sampler, "karras") for model in models)
    assert guided.isfinite().all()
    assert guided.std() < 1.5 * plain.std()
    # The layout is another one; noise that a sampler adds is the same.
    assert (downsample(guided, 4) - downsample(plain, 4)).std() > 0.1 * plain.std()


@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
def test_every_scheduler_samples_the_corrected_prediction(models, conditioning, scheduler):
    plain, guided = (sample(model, conditioning, "euler", scheduler) for model in models)
    assert guided.isfinite().all()
    assert guided.std() < 1.5 * plain.std()
    assert (downsample(guided, 4) - downsample(plain, 4)).std() > 0.1 * plain.std()

"""Every sampler and every scheduler of the host, corrected and not, on the bundled model with windows below its own."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.windows.patch import with_settings

STEPS = 4  # the multistep samplers look back three
CANVAS = (1, 8, 16, 16)
WINDOWS = WindowParams(window=Size(8, 8), stride=Size(8, 8), grid=4)
GUIDANCE = {"multiscale": MultiScaleParams(), "sync": SyncParams()}


@pytest.fixture(scope="module")
def conditioning():
    with torch.inference_mode():
        clip = demo_clip()
        return [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer day", "")]


@pytest.fixture(scope="module")
def models():
    model = with_settings(demo_model(), windows=WINDOWS)
    return model, with_settings(model, **GUIDANCE)


def check(models, conditioning, sampler, scheduler):
    latent = torch.zeros(CANVAS)
    noise = comfy.sample.prepare_noise(latent, 7)
    cfg = 1.0 if "cfg_pp" in sampler else 2.0
    with torch.inference_mode():
        plain, guided = (
            comfy.sample.sample(
                model, noise, STEPS, cfg, sampler, scheduler, *conditioning, latent, seed=7, disable_pbar=True
            )
            for model in models
        )
    assert guided.isfinite().all()
    assert guided.std() < 1.5 * plain.std()
    # The layout is another one; noise that a sampler adds is the same.
    assert (downsample(guided, 4) - downsample(plain, 4)).std() > 0.1 * plain.std()


@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_every_sampler_samples_the_corrected_prediction(models, conditioning, sampler):
    check(models, conditioning, sampler, "karras")


@pytest.mark.parametrize("scheduler", sorted(set(comfy.samplers.SCHEDULER_NAMES) - {"karras"}))
def test_every_scheduler_samples_the_corrected_prediction(models, conditioning, scheduler):
    check(models, conditioning, "euler", scheduler)

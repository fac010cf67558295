"""Every sampler of the host with all methods at once, on the bundled model: a random one predicts no pictures."""

from functools import cache

import comfy.samplers
import pytest
import torch
from joint_diffusion.core.multiscale import MultiScaleParams
from joint_diffusion.core.syncdiffusion import SyncParams
from joint_diffusion.core.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.sampling import with_settings
from sampling_run import run

STEPS = 4
# In 4 steps their own pictures are coarse or out of range, and what corrects a step amplifies whatever guides it.
MORE_STEPS = {"heun": 8, "dpm_2_ancestral": 8, "dpm_fast": 8, "uni_pc": 8, "uni_pc_bh2": 8}


@cache
def stack():
    """Without and with all methods, and the prompts."""
    clip = demo_clip()
    model = with_settings(demo_model())
    full = with_settings(
        model,
        multiscale=MultiScaleParams(),
        sync=SyncParams(),
        crop_fusion=CropFusionParams(),
        cross_sampling=CrossSamplingParams(),
    )
    return model, full, [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer day", "")]


@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_the_full_stack_blows_no_sampler_up(sampler):
    with torch.inference_mode():
        *models, prompt = stack()
        latent, steps = torch.zeros(1, 8, 16, 32), MORE_STEPS.get(sampler, STEPS)  # half a window high, coarse
        plain, full = (run(model, latent, sampler, steps, 2.0, "karras", seed=7, prompt=prompt) for model in models)
    assert plain.isfinite().all() and full.isfinite().all()
    assert full.std() < 1.5 * plain.std()
    assert not torch.equal(full, plain)

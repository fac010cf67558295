"""The host's KSampler, as a function."""

import comfy.samplers

import nodes as host_nodes  # ComfyUI's own nodes.py; the pack's folder of the same name is not importable like this

SAMPLERS = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS = comfy.samplers.KSampler.SCHEDULERS


def sample(model, *, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise):
    """Exactly what the KSampler node does, previews and progress included; gives a LATENT."""
    (latent,) = host_nodes.common_ksampler(
        model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
    )
    return latent

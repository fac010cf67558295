"""The host's KSampler, as a function."""

import math

import comfy.samplers

import nodes as host_nodes  # ComfyUI's own nodes.py; the pack's folder of the same name is not importable like this

SAMPLERS = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS = comfy.samplers.KSampler.SCHEDULERS


def sample(model, *, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise):
    """Exactly what the KSampler node does, previews and progress included; gives a LATENT.

    Raises:
        ValueError: as `require_numbers`.
    """
    require_numbers(cfg, denoise)
    (latent,) = host_nodes.common_ksampler(
        model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
    )
    return latent


def require_numbers(cfg: float, denoise: float) -> None:
    """Refuse what ComfyUI lets through by the API and by connections, and would paint black pictures with.

    Raises:
        ValueError: cfg is not finite, or denoise not in 0..1.
    """
    if not math.isfinite(cfg):
        raise ValueError(f"cfg: must be a finite number, got {cfg}; 1 to 12 are usual.")
    if not 0 <= denoise <= 1:
        raise ValueError(f"denoise: must be in 0..1, got {denoise}; 1 starts from pure noise.")

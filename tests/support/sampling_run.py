"""Whole runs of the host's samplers, and the same by hand: the model called directly, CFG and Euler written out.

Import only from tests/nodes: this needs ComfyUI.
"""

from contextlib import contextmanager

import comfy.model_management
import comfy.sample
import comfy.samplers
import tiny_models
import torch
from joint_diffusion.nodes.host.gradients.saved_tensors import saved_tensors_survive_writes

POOLED = {"sdxl": 1280, "sd3": 32, "flux": 32}
# The last layer of a network, by its name: of U-Nets, Qwen-Image, most transformers, Wan, models that paint in pixels.
LAST = ("out.2", "proj_out", "final_layer.linear", "head.head", "nerf_final_layer_conv.conv")


def prompts(family="sd15", **options):
    """Positive and negative prompt, with the pooled text that some families want."""
    if family in POOLED:
        options["pooled_output"] = torch.linspace(-1, 1, POOLED[family])[None]
    return tiny_models.prompt(1, **options), tiny_models.prompt(2, **options)


def lively(model):
    """The same model, whose network says thirty times as much: else most of a random model's prediction is x itself."""
    modules = dict(model.model.diffusion_model.named_modules())
    with torch.no_grad():
        next(modules[name] for name in LAST if name in modules).weight.mul_(30)
    return model


def run(
    model, latent, sampler="euler", steps=3, cfg=4.0, scheduler="normal", seed=1, prompt=None, noise=None, **options
):
    """What KSampler makes of the latent."""
    noise = comfy.sample.prepare_noise(latent, seed) if noise is None else noise
    positive, negative = prompt or prompts()
    return comfy.sample.sample(
        model,
        noise,
        steps,
        cfg,
        sampler,
        scheduler,
        positive,
        negative,
        latent,
        seed=seed,
        disable_pbar=True,
        **options,
    )


def run_by_hand(model, shape, step, steps=3, cfg=4.0, scheduler="normal", seed=1, prompt=None, sigmas=None):
    """The same of an empty latent, with `step(x, sigma, sigma_next, denoise, index)` (C, H, W) in place of Euler's.

    `denoise(view, sigma)` is the model, with CFG. Everything it touches must have been made outside of inference mode.
    """
    with torch.inference_mode(False), differentiable():
        denoise = denoiser(model, *(prompt or prompts()), cfg, has_time=len(shape) == 5)
        sampling = model.get_model_object("model_sampling")
        if sigmas is None:
            sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, steps)
        latent = torch.zeros(shape)
        x = sampling.noise_scaling(sigmas[0], comfy.sample.prepare_noise(latent, seed), latent, True)
        x = x.reshape(shape[1], *shape[-2:])
        for index, (sigma, after) in enumerate(zip(sigmas.tolist(), sigmas.tolist()[1:], strict=False)):
            x = step(x, sigma, after, denoise, index).detach()
        return model.model.process_latent_out(sampling.inverse_noise_scaling(sigmas[-1], x).reshape(shape))


def denoiser(model, positive, negative, cfg, has_time=False):
    """`denoise(view (C, h, w), sigma)`: the network asked twice, and the two combined."""

    def ask(view, sigma, conditioning):
        ((context, options),) = conditioning
        extra = {"c_crossattn": context.clone()}
        if "pooled_output" in options:
            extra |= {"y": options["pooled_output"].clone(), "guidance": torch.tensor([3.5])}
        view = view[None, :, None] if has_time else view[None]
        return model.model.apply_model(view, torch.full((1,), sigma), **extra).reshape(view.shape[1], *view.shape[-2:])

    def denoise(view, sigma):
        cond, uncond = (ask(view, sigma, conditioning) for conditioning in (positive, negative))
        return uncond + cfg * (cond - uncond)

    return denoise


@contextmanager
def differentiable():
    """Models of the host can be differentiated by autograd as they are, if they were made outside of inference mode."""
    before = comfy.model_management.in_training
    comfy.model_management.in_training = True  # else rotary embeddings run in a kernel that has no gradient
    try:
        with torch.enable_grad(), saved_tensors_survive_writes():
            yield
    finally:
        comfy.model_management.in_training = before

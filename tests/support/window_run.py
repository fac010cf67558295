"""One prediction of a model of the host, through the host's own guider: on a canvas, or through windows of it.

Import only from tests/nodes: this needs ComfyUI.
"""

from itertools import pairwise

import comfy.model_sampling
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import canvas_size, crop_batch
from joint_diffusion.core.joint_step import denoise_step
from joint_diffusion.core.step import Step
from joint_diffusion.nodes.host.windows.conditioning import WindowConditioning

CALC_COND_BATCH = comfy.patcher_extension.WrappersMP.CALC_COND_BATCH


def predict(patcher, positive, negative, x, sigma, calc=None, denoise_mask=None, cfg=4.0):
    """[cond, uncond] as the host computes them for x; `calc(guider, executor, *args)` stands between, if given.

    With a `cfg` of 1 it does not ask for uncond, and says zero.
    """
    patcher = patcher.clone()
    seen = []

    def wrapper(executor, *args):
        seen.append(torch.stack(calc(guider, executor, *args) if calc else executor(*args)))
        return torch.zeros(2, *x.shape).unbind()

    def step(model, noise, sigmas, extra_args=None, callback=None, disable=None):
        return model(x, sigma * x.new_ones(len(x)), **extra_args)

    patcher.add_wrapper_with_key(CALC_COND_BATCH, "test", wrapper)
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    sampler, sigmas = comfy.samplers.KSAMPLER(step), torch.tensor([sigma, 0.0])
    none = torch.zeros_like(x)
    with torch.inference_mode():
        guider.sample(none, none, sampler, sigmas, denoise_mask=denoise_mask, disable_pbar=True, seed=0)
    return seen[0]


def predict_views(patcher, positive, negative, x, sigma, windows, *, together=True, factor=1, **options):
    """[cond, uncond] of every window: (2, N*B, C, ..., h, w).

    `together` batches the windows that may share a batch; `factor` > 1 puts the windows on the downsampled canvas.
    """

    def calc(guider, executor, model, conds, x, sigma, model_options):
        conditioning = WindowConditioning(model, canvas_size(x), guider.conds)
        canvas = downsample(x, factor) if factor > 1 else x
        size = canvas_size(canvas)
        views = {}
        for active, group in conditioning.groups(conds, windows, size).items():
            for batch in [group] if together else [[window] for window in group]:
                cut = conditioning.cut(conds, active, batch, size, len(x))
                sigmas = sigma.repeat(len(batch))
                found = torch.stack(executor(model, cut, crop_batch(canvas, batch), sigmas, model_options))
                views |= zip(batch, found.chunk(len(batch), 1), strict=True)
        return torch.cat([views[window] for window in windows], 1).unbind()

    return predict(patcher, positive, negative, x, sigma, calc, **options)


def sampled_by_hand(of_window, params, shape, sigmas, cfg):
    """Euler around `core.joint_step` from an empty latent. The host, without the pack, is asked about one view.

    `of_window(window, canvas)` gives the model, the positive and the negative prompt as they are within the window.
    """

    def denoise(views, sigma, windows, canvas):
        denoised = []
        for view, window in zip(views.split(shape[0]), windows, strict=True):
            cond, uncond = predict(*of_window(window, canvas), view.contiguous(), sigma, cfg=cfg)
            denoised.append(uncond + cfg * (cond - uncond))
        return torch.cat(denoised)

    latent = torch.zeros(shape)
    windows = params.windows.plan(canvas_size(latent))
    model = of_window(windows[0], canvas_size(latent))[0]
    sampling = model.get_model_object("model_sampling")
    flow = isinstance(sampling, comfy.model_sampling.CONST)
    from_noise = bool(sigmas[0] >= sampling.sigma_max)
    x = sampling.noise_scaling(sigmas[0], comfy.sample.prepare_noise(latent, 1), latent, from_noise)
    for index, (sigma, after) in enumerate(pairwise(sigmas.tolist())):
        step = Step(sigma=sigma, kept=after / sigma, index=index, count=len(sigmas) - 1, flow=flow)
        x = step.kept * x + (1 - step.kept) * denoise_step(x, step, denoise, params)
    return model.model.process_latent_out(sampling.inverse_noise_scaling(sigmas[-1], x))

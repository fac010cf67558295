"""What a sampler's step keeps of x, found by letting the sampler rehearse on a handful of numbers.

A guided window is moved before it is denoised, and the next x must carry that move on as far as the sampler carries x
itself (`predict_jointly`): Euler keeps sigma_next / sigma of x, ancestral samplers less, LCM nothing. No sampler says
so, but all of them are linear in x and in the predictions. So one that is told that everything denoises to zero shows
what it keeps, whoever wrote it.
"""

import logging
from itertools import pairwise
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ..sampler_hooks import SamplerHooks

# So large that the noise which stochastic samplers add disappears beside it ...
LOUD = 1e12
# ... until so little of it is left. Then the sampler has forgotten x, as LCM does at once.
FORGOTTEN = 1e3  # in standard deviations of the noise


def kept_per_step(
    sampler: comfy.samplers.Sampler, guider: comfy.samplers.CFGGuider, sigmas: Tensor, extra_args: dict[str, Any]
) -> list[float]:
    """For each step i, the part r of x in x' = r x + (1 - r) D, in [0, 1).

    No step keeps more than the probability flow does, sigmas[i + 1] / sigmas[i]; that is also taken for steps which
    the rehearsal does not show, because adaptive samplers choose their own.
    """
    levels = sigmas.tolist()
    first_order = [after / before if before else 0.0 for before, after in pairwise(levels)]
    heard = _rehearse(sampler, guider, sigmas, extra_args)
    kept: list[float] = []
    for before, after, fallback in zip(levels, levels[1:], first_order, strict=False):
        x_before, x_after = heard.get(_key(before)), heard.get(_key(after))
        if x_before is None or x_after is None:
            kept.append(fallback)
        elif abs(x_after) < FORGOTTEN * after:
            kept.append(0.0)
        else:
            kept.append(min(max(x_after / x_before, 0.0), fallback))
    return kept


def _rehearse(
    sampler: comfy.samplers.Sampler, guider: comfy.samplers.CFGGuider, sigmas: Tensor, extra_args: dict[str, Any]
) -> dict[float, float]:
    """The x that the sampler asked about at each noise level."""
    understudy = _Understudy(guider, extra_args["model_options"])
    if sigmas[-1] > 0:  # a first stage of two: one level more, so that its last one is asked about as well
        sigmas = torch.cat([sigmas, sigmas.new_zeros(1)])
    x = torch.full((1, 1, 2, 2), LOUD, dtype=torch.float32)
    transformer_options = {**extra_args["model_options"].get("transformer_options", {}), "sample_sigmas": sigmas}
    options = {**extra_args["model_options"], "transformer_options": transformer_options}
    arguments = {**extra_args, "model_options": options}
    devices = [sigmas.device] if sigmas.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):  # the real run must draw the same noise with and without a rehearsal
            sampler.sample(understudy, sigmas.cpu().clone(), arguments, None, x, torch.zeros_like(x), None, True)
    except comfy.model_management.InterruptProcessingException:
        raise
    except Exception as error:  # of a sampler that needs more than an understudy; guidance works, less exactly
        name = getattr(getattr(sampler, "sampler_function", sampler), "__name__", type(sampler).__name__)
        logging.warning("Joint Diffusion: guidance takes '%s' for a first-order sampler (%s)", name, error)
    return understudy.heard


class _Understudy:
    """Stands in for the guider while a sampler rehearses: predicts zero, and writes down what it was asked."""

    def __init__(self, guider: comfy.samplers.CFGGuider, model_options: dict[str, Any]):
        self._guider = guider
        self._sampler_hooks = SamplerHooks(model_options)
        self.heard: dict[float, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guider, name)

    def __call__(self, x: Tensor, timestep: Tensor, model_options: dict[str, Any], seed: int | None = None) -> Tensor:
        # The last word at a noise level counts: a corrector may ask twice.
        self.heard[_key(float(timestep[0]))] = float(x.mean())
        zero = torch.zeros_like(x)
        # What the sampler itself has hooked in; hooks of other nodes have no business in a rehearsal.
        for function in self._sampler_hooks.of_sampler(model_options):
            zero = function(
                {
                    "denoised": zero,
                    "cond_denoised": zero,
                    "uncond_denoised": zero,
                    "cond": [],
                    "uncond": [],
                    "cond_scale": 1.0,
                    "model": self._guider.inner_model,
                    "model_options": model_options,
                    "sigma": timestep,
                    "input": x,
                }
            )
        return zero


def _key(sigma: float) -> float:
    # Samplers compute in different precisions: levels equal to four digits are one.
    return float(f"{sigma:.3e}")

"""Any sampler of the host, stepping with the predictions and the noise of one zoom stack (Algorithm 2).

A sampler function knows the model as a callable and, if it is stochastic, noise as another one. Both are wrapped, the
sampler itself is left alone; so the same holds for every order, and for guidance and windows inside the model.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

Join = Callable[[Tensor, int, int], Tensor]  # denoised levels, step, steps -> consistent ones
NoiseSampler = Callable[[Tensor, Tensor], Tensor]  # from one noise level to the next


def zoom_sampler(
    name: str, shape: torch.Size, join: Join, render_noise: Callable[[Tensor], Tensor]
) -> comfy.samplers.KSAMPLER:
    """The host's sampler of that name for a stack of this shape.

    Args:
        name: one of `comfy.samplers.SAMPLER_NAMES`.
        shape: of the stack (N, C, ..., h, w). Other tensors are sampled as ever: guidance lets samplers rehearse.
        join: blends and renders denoised levels.
        render_noise: turns independent noise into that of the stack.
    """
    plain = comfy.samplers.sampler_object(name)
    function = plain.sampler_function

    def sample_zoom_stack(model, x: Tensor, sigmas: Tensor, *, extra_args: dict[str, Any], **options):
        if x.shape == shape:
            model = _JoinedModel(model, sigmas, extra_args, shape, join)
            if "noise_sampler" in inspect.signature(function).parameters:
                noise = _noise_sampler(name, x, sigmas, extra_args.get("seed"))
                options["noise_sampler"] = lambda sigma, sigma_next: render_noise(noise(sigma, sigma_next))
        return function(model, x, sigmas, extra_args=extra_args, **options)

    return comfy.samplers.KSAMPLER(sample_zoom_stack, plain.extra_options, plain.inpaint_options)


class _JoinedModel:
    """The model as the sampler calls it, its predictions joined."""

    def __init__(self, model, sigmas: Tensor, extra_args: dict[str, Any], shape: torch.Size, join: Join):
        self._model = model
        self._levels: list[float] = sigmas.tolist()
        self._others = _hooks(extra_args.get("model_options", {}))
        self._shape = shape
        self._join = join

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **extra_args: Any) -> Tensor:
        join = partial(self._joined, step=self._step(float(sigma[0])))
        options = extra_args.get("model_options", {})
        own = _hooks(options)[len(self._others) :]  # of a CFG++ sampler, which steps along the unconditional prediction
        if own:
            hooks = [*self._others, *(partial(_with_joined_uncond, hook, join) for hook in own)]
            extra_args["model_options"] = {**options, "sampler_post_cfg_function": hooks}
        return join(self._model(x, sigma, **extra_args))

    def _joined(self, denoised: Tensor, step: int) -> Tensor:
        return self._join(denoised, step, len(self._levels) - 1) if denoised.shape == self._shape else denoised

    def _step(self, sigma: float) -> int:
        """The last step that begins at or above `sigma`; samplers may ask several times in one."""
        return max((i for i, level in enumerate(self._levels[:-1]) if level >= sigma * (1 - 1e-4)), default=0)


def _hooks(model_options: dict[str, Any]) -> list[Callable[[dict[str, Any]], Tensor]]:
    return model_options.get("sampler_post_cfg_function", [])


def _with_joined_uncond(hook, join, arguments: dict[str, Any]) -> Tensor:
    return hook({**arguments, "uncond_denoised": join(arguments["uncond_denoised"])})


def _noise_sampler(name: str, x: Tensor, sigmas: Tensor, seed: int | None) -> NoiseSampler:
    """The noise that the sampler would draw itself; the SDE solvers cut one Brownian path into parts of steps."""
    if name.startswith("dpmpp") and "sde" in name and len(sigmas) > 1:
        lowest, highest = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, lowest, highest, seed=seed, cpu=not name.endswith("_gpu"))
    return default_noise_sampler(x, seed=seed)

"""Any sampler of the host on a batch whose rows belong together.

A sampler calls the model and, if it is stochastic, a source of noise. Both calls are wrapped here; the sampler itself
is not changed. So this works for samplers of every order, and for models with guidance and windows.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

from ....core.step import step_at
from ..sampler_hooks import SamplerHooks

NoiseSampler = Callable[[Tensor, Tensor], Tensor]  # from one noise level to the next


class Joining(Protocol):
    """How the pictures of a batch belong together.

    The sampler steps *rows*. The model sees the *pictures* that the rows stand for; rows and pictures may be the same.
    Both are (N, C, ..., h, w) in the model's own space. `done` counts the steps that are done, 0..`steps`; it is a
    fraction if a sampler asks between two steps.
    """

    def noise(self, noise: Tensor, /) -> Tensor:
        """Independent noise to the noise of the rows."""
        ...

    def pictures(self, rows: Tensor, done: float, steps: int) -> Tensor:
        """Rows to the pictures that the model sees."""
        ...

    def rows(self, denoised: Tensor, done: float, steps: int) -> Tensor:
        """Predictions of the pictures to predictions of the rows."""
        ...


def joined_sampler(name: str, shape: torch.Size, joining: Joining) -> comfy.samplers.KSAMPLER:
    """The host's sampler of that name for a batch of this shape.

    Args:
        name: one of `comfy.samplers.SAMPLER_NAMES`.
        shape: of the batch (N, C, ..., h, w). Tensors of another shape are sampled unchanged, such as those of a
            rehearsal.
        joining: of the batch. The noise to start from must already be that of the rows.
    """
    plain = comfy.samplers.sampler_object(name)
    function = plain.sampler_function

    def sample_joined(model, x: Tensor, sigmas: Tensor, *, extra_args: dict[str, Any], callback=None, **options):
        if x.shape != shape:
            return function(model, x, sigmas, extra_args=extra_args, callback=callback, **options)
        model = _JoinedModel(model, sigmas, extra_args, shape, joining)
        if "noise_sampler" in inspect.signature(function).parameters:
            noise = _noise_sampler(name, x, sigmas, extra_args.get("seed"))
            options["noise_sampler"] = lambda sigma, sigma_next: joining.noise(noise(sigma, sigma_next))
        showing = callback and (lambda info: callback({**info, **model.shown}))
        rows = function(model, x, sigmas, extra_args=extra_args, callback=showing, **options)
        return joining.pictures(rows, len(sigmas) - 1, len(sigmas) - 1)

    return comfy.samplers.KSAMPLER(sample_joined, plain.extra_options, plain.inpaint_options)


class _JoinedModel:
    """The model as the sampler calls it, about rows."""

    def __init__(self, model, sigmas: Tensor, extra_args: dict[str, Any], shape: torch.Size, joining: Joining):
        self._model = model
        self._levels: list[float] = sigmas.tolist()
        self._sampler_hooks = SamplerHooks(extra_args.get("model_options", {}))
        self._shape = shape
        self._joining = joining
        self.shown: dict[str, Tensor] = {}  # pictures of the last call, for the preview

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **extra_args: Any) -> Tensor:
        place = self._done(float(sigma[0])), len(self._levels) - 1
        join = partial(self._rows, place=place)
        options = extra_args.get("model_options", {})
        if self._sampler_hooks.of_sampler(options):
            extra_args["model_options"] = self._sampler_hooks.changed(options, join)
        pictures = self._joining.pictures(x, *place)
        denoised = join(self._model(pictures, sigma, **extra_args))
        self.shown = {"x": pictures, "denoised": self._joining.pictures(denoised, *place)}
        return denoised

    def _rows(self, denoised: Tensor, place: tuple[float, int]) -> Tensor:
        return self._joining.rows(denoised, *place) if denoised.shape == self._shape else denoised

    def _done(self, sigma: float) -> float:
        """Steps done at this noise level; samplers may ask several times in one, at levels of their own."""
        step = step_at(self._levels, sigma)
        level, following = self._levels[step : step + 2]
        if sigma >= level * (1 - 1e-4):
            return step
        return step + (level - sigma) / (level - following)


def _noise_sampler(name: str, x: Tensor, sigmas: Tensor, seed: int | None) -> NoiseSampler:
    """The noise that the sampler would draw itself; the SDE solvers cut one Brownian path into parts of steps."""
    if name.startswith("dpmpp") and "sde" in name and len(sigmas) > 1:
        lowest, highest = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, lowest, highest, seed=seed, cpu=not name.endswith("_gpu"))
    return default_noise_sampler(x, seed=seed)

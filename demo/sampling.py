"""Noise levels and the Euler sampler in k-diffusion's terms, equal to ComfyUI's `euler` with `karras` sigmas."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .model import SIGMA_MAX, SIGMA_MIN

RHO = 7.0  # Karras et al. 2022, section 3


def check_sampling(steps: int, cfg: float = 1.0) -> None:
    """Refuse a number of steps, or a guidance scale, that nothing can be sampled with."""
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, got {steps}.")
    if not math.isfinite(cfg):
        raise ValueError(f"cfg: must be a finite number, got {cfg}; 1 is no guidance.")


def karras_sigmas(steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX) -> Tensor:
    """(steps + 1,) noise levels from sigma_max down to sigma_min and then 0: Karras et al. 2022, Eq. 5."""
    check_sampling(steps)
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / RHO), sigma_max ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, torch.zeros(1)])


def starting_noise(shape: tuple[int, ...], seed: int, sigma: float | Tensor) -> Tensor:
    """The noisy canvas at the first noise level, drawn on the CPU so that every device starts alike.

    The factor is sqrt(1 + sigma^2), not sigma: data of unit variance plus noise, as the host starts from its highest
    noise level.
    """
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return noise * torch.sqrt(1.0 + torch.as_tensor(sigma) ** 2.0)


def euler(
    denoise: Callable[[Tensor, float, float], Tensor],
    x: Tensor,
    sigmas: Tensor,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Follow dx/dsigma = (x - D) / sigma from the first noise level to the last: Algorithm 2 without churn.

    Args:
        denoise: (x, sigma, next sigma) to the denoised x. The next sigma is given because guided windows need to
            know how far the step goes.
        x: (B, C, h, w) noisy at sigmas[0].
        sigmas: (steps + 1,), falling.
        on_step: called with the number of steps done and the number of all.
    """
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, after = sigmas[i], sigmas[i + 1]
        slope = (x - denoise(x, float(sigma), float(after))) / sigma
        x = x + slope * (after - sigma)
        if on_step:
            on_step(i + 1, steps)
    return x

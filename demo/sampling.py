"""Noise levels and the Euler sampler, equal to ComfyUI's `euler` with `karras` sigmas."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .model import SIGMA_MAX, SIGMA_MIN

RHO = 7.0  # Karras et al. 2022, section 3


def check_sampling(steps: int, cfg: float = 1.0) -> None:
    """Check the number of steps and the guidance scale."""
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, got {steps}.")
    if not math.isfinite(cfg):
        raise ValueError(f"cfg: must be a finite number, got {cfg}; 1 is no guidance.")


def check_side(name: str, pixels: int, multiple: int, least: int, reason: str = "") -> None:
    """Check the height or the width of a picture."""
    if pixels < least or pixels % multiple:
        raise ValueError(
            f"{name}: must be a multiple of {multiple} and at least {least} pixels{reason}, got {pixels}; "
            f"{max(least, round(pixels / multiple) * multiple)} is the nearest that is."
        )


def karras_sigmas(steps: int) -> Tensor:
    """(steps + 1,) noise levels from SIGMA_MAX down to SIGMA_MIN and then 0: Karras et al. 2022, Eq. 5."""
    check_sampling(steps)
    ramp = torch.linspace(0, 1, steps)
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, torch.zeros(1)])


def starting_noise(shape: tuple[int, ...], seed: int, sigma: float | Tensor) -> Tensor:
    """The noisy canvas at the first noise level; drawn on the CPU, so it is the same for every device.

    The factor is sqrt(1 + sigma^2), the standard deviation of data of unit variance plus noise, as in ComfyUI.
    """
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return noise * torch.sqrt(1.0 + torch.as_tensor(sigma) ** 2.0)


def partial_sigmas(steps: int, denoise: float) -> Tensor:
    """(steps + 1,) noise levels: the last ones, a part `denoise` (above 0, at most 1) of all."""
    return karras_sigmas(int(steps / denoise))[-(steps + 1) :]


def noisy_start(latent: Tensor, seed: int, sigma: Tensor, denoise: float) -> Tensor:
    """A latent with noise of the level sigma added, as img2img starts; noise alone if `denoise` is 1."""
    noise = starting_noise(tuple(latent.shape), seed, sigma).to(latent.device)
    return noise if denoise == 1 else latent + noise * sigma / (1 + sigma**2) ** 0.5


def euler(
    denoise: Callable[[Tensor, float, float], Tensor],
    x: Tensor,
    sigmas: Tensor,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Follow dx/dsigma = (x - D) / sigma from the first noise level to the last: Algorithm 2 without churn.

    Args:
        denoise: (x, sigma, next sigma) to the denoised x. Guidance by gradients needs the next sigma.
        x: (B, C, h, w) noisy at sigmas[0].
        sigmas: (steps + 1,), falling.
        on_step: called with the number of steps done and of all steps.
    """
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, after = sigmas[i], sigmas[i + 1]
        slope = (x - denoise(x, float(sigma), float(after))) / sigma
        x = x + slope * (after - sigma)
        if on_step:
            on_step(i + 1, steps)
    return x

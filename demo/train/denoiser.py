"""Fit the denoiser and its text encoder."""

import copy
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..autoencoder import CHANNELS
from ..dataset import Picture
from ..model import SIGMA_MAX, SIGMA_MIN, LandscapeUNet, denoised, network_error, scaled_input
from ..text_encoder import TextEncoder
from ..worlds import LANDSCAPES, World
from .fit import fit
from .pictures import chances, window_batch

PEAK = 1.2e-3  # learning rate
AVERAGED = 0.999  # factor of the old weights in their running mean, which is what is stored


class Diffusion(nn.Module):
    """Text encoder and denoiser, trained together and stored in one file."""

    def __init__(self, world: World = LANDSCAPES) -> None:
        super().__init__()
        self.unet = LandscapeUNet(CHANNELS)
        self.text = TextEncoder(vocabulary=world.vocabulary)


def training_sigmas(batch: int, generator: torch.Generator) -> Tensor:
    """Log-normal around the noise levels that decide layout and texture; a fifth is uniform in the logarithm."""
    normal = (0.5 + 1.5 * torch.randn(batch, generator=generator)).exp()
    low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
    even = (low + (high - low) * torch.rand(batch, generator=generator)).exp()
    return torch.where(torch.rand(batch, generator=generator) < 0.2, even, normal).clamp(SIGMA_MIN, SIGMA_MAX)


def train_denoiser(
    pictures: list[Picture],
    latents: list[Tensor],
    steps: int,
    batch: int,
    device: str,
    checkpoint: Path,
    world: World = LANDSCAPES,
) -> tuple[Diffusion, float]:
    """Fit F by the EDM loss: the errors of F have the same weight at every noise level.

    Returns:
        The running mean of the weights, and of the loss.
    """
    torch.manual_seed(2)
    model = Diffusion(world).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)
    picked = chances(pictures)

    def batch_loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        views, ids = window_batch(pictures, latents, picked, batch, np.random.default_rng((2, step)), world)
        sigma = training_sigmas(batch, generator).to(device)[:, None, None, None]
        noise = torch.randn(views.shape, generator=generator).to(device)
        views, ids = views.to(device), ids.to(device)
        x = (views + sigma * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            output = model.unet(scaled_input(x, sigma), 0.25 * sigma[:, 0, 0, 0].log(), model.text(ids))
        return network_error(denoised(x, output.float(), sigma), views, sigma).mean()

    @torch.no_grad()
    def take_the_mean(step: int) -> None:
        decay = min(AVERAGED, (step + 1) / (step + 10))
        for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    loss = fit(
        "denoiser", batch_loss, optimiser, PEAK, steps, {"model": model, "average": average}, checkpoint, take_the_mean
    )
    return average, loss

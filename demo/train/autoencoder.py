"""Fit the autoencoder, then its decoder alone, which is to print no pattern and to keep the contrast of textures."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from core.methods.scale_map import fit_scale_map

from ..autoencoder import Autoencoder
from ..dataset import Picture
from .fit import fit
from .losses import lattice_loss, picture_loss, texture_loss
from .pictures import image_crops

LATENT_NOISE = 0.06  # in standard deviations of the latents; the decoder learns to ignore small errors of the denoiser
TEXTURE_WEIGHT = 0.1
LATTICE_WEIGHT = 1.0


def train_autoencoder(pictures: list[Picture], steps: int, batch: int, device: str, checkpoint: Path) -> Autoencoder:
    """Fit the autoencoder, then normalise its latents."""
    torch.manual_seed(1)
    model = Autoencoder().to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))

    def batch_loss(step: int) -> Tensor:
        x = image_crops(pictures, batch, np.random.default_rng((1, step)), device)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            z = model.encode(x)
            z = z + LATENT_NOISE * z.detach().float().std(dim=(0, 2, 3), keepdim=True) * torch.randn_like(z)
            output = model.decode(z)
            # The mean over 2 x 2 cells shall decode to the picture at half size: Multi-Scale Diffusion takes such
            # means.
            few = slice(0, batch // 2)
            half = model.decode(nn.functional.avg_pool2d(z[few], 2))
        loss = picture_loss(output.float(), x)
        return loss + 0.3 * picture_loss(half.float(), nn.functional.avg_pool2d(x[few], 2))

    fit("autoencoder", batch_loss, optimiser, 2e-3, steps, {"model": model}, checkpoint)
    model.eval()
    with torch.no_grad():
        rng = np.random.default_rng(1)
        z = torch.cat([model.encode(image_crops(pictures, 32, rng, device)) for _ in range(16)])
        model.shift.copy_(z.mean(dim=(0, 2, 3), keepdim=True))
        model.scale.copy_(1 / z.std(dim=(0, 2, 3), keepdim=True))
    return model


def finish_decoder(
    model: Autoencoder, pictures: list[Picture], steps: int, batch: int, device: str, checkpoint: Path
) -> None:
    """Train the decoder alone, for textures with their contrast, and until it prints no pattern of its cells.

    The latents do not change, so a denoiser stays valid.
    """
    optimiser = torch.optim.Adam(model.decoder.requires_grad_().parameters(), betas=(0.9, 0.99))
    few = slice(0, batch // 4)

    def batch_loss(step: int) -> Tensor:
        x = image_crops(pictures, batch, np.random.default_rng((3, step)), device)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            with torch.no_grad():
                z = model.encode(x)
                z = z + LATENT_NOISE * torch.randn_like(z)
            output = model.decode(z).float()
            half = model.decode(nn.functional.avg_pool2d(z[few], 2)).float()
        loss = picture_loss(output, x) + TEXTURE_WEIGHT * texture_loss(output, x)
        loss = loss + LATTICE_WEIGHT * lattice_loss(output, x)
        return loss + 0.2 * picture_loss(half, nn.functional.avg_pool2d(x[few], 2))

    fit("decoder", batch_loss, optimiser, 1e-3, steps, {"model": model}, checkpoint)


@torch.no_grad()
def fit_half_size(model: Autoencoder, pictures: list[Picture], device: str) -> None:
    """Fit the map of `core.methods.scale_map`."""
    rng = np.random.default_rng(4)
    scale_map = fit_scale_map(image_crops(pictures, 512, rng, device), model.encode)
    model.half_matrix.copy_(scale_map.matrix)
    model.half_offset.copy_(scale_map.offset)

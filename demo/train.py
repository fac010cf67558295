"""Train the bundled model: draw pictures, fit the autoencoder, then the denoiser.

    python -m demo.train

Everything is seeded. README.md tells how long it takes.
"""

import argparse
import copy
import math
import multiprocessing
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.methods.scale_map import fit_scale_map

from .autoencoder import CHANNELS, PIXELS_PER_CELL, Autoencoder
from .dataset import Picture, caption, draw
from .model import NATIVE, SIGMA_MAX, SIGMA_MIN, LandscapeUNet, denoised, scaled_input
from .pipeline import AUTOENCODER, DENOISER, WEIGHTS, load_autoencoder
from .text_encoder import TextEncoder
from .vocabulary import padded_ids

LATENT_NOISE = 0.06  # in standard deviations of the latents; the decoder learns to ignore small errors of the denoiser


def draw_pictures(count: int, workers: int) -> list[Picture]:
    """Pictures 0..count-1 of the training set."""
    with multiprocessing.Pool(workers) as pool:
        return pool.map(draw, range(count), chunksize=16)


def image_crops(pictures: list[Picture], batch: int, rng: np.random.Generator, device: str) -> Tensor:
    """(B, 3, 128, 128) float windows at random places, not aligned to cells."""
    side, crops = NATIVE * PIXELS_PER_CELL, []
    for i in rng.integers(len(pictures), size=batch):
        h, w = pictures[i].image.shape[:2]
        top, left = rng.integers(h - side + 1), rng.integers(w - side + 1)
        crops.append(pictures[i].image[top : top + side, left : left + side])
    x = torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 of the colours, of differences between neighbours (sharpness) and of two coarser scales (tone)."""
    loss = (output - target).abs().mean()
    for dim in (2, 3):
        loss = loss + 0.8 * (output.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
    for size in (2, 4):
        pool = nn.functional.avg_pool2d
        loss = loss + 0.5 * (pool(output, size) - pool(target, size)).abs().mean()
    return loss


def learning_rate(step: int, steps: int, peak: float, warmup: int = 150) -> float:
    """Linear warm-up to the peak, then a cosine to 2 % of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    t = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * t)))


def fit(
    name: str,
    batch_loss: Callable[[], Tensor],
    optimiser: torch.optim.Optimizer,
    peak: float,
    steps: int,
    after: Callable[[int, float], None] = lambda step, running: None,
    memory: float = 0.98,
) -> None:
    """Minimise `batch_loss`, which draws a batch and returns its loss; `peak` is the highest learning rate.

    After each step `after` gets its number and the running mean of the loss. `memory` is the factor of the old running
    mean in the new one.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    start, running = time.time(), None
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        loss = batch_loss()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        running = loss.item() if running is None else memory * running + (1 - memory) * loss.item()
        if step % 100 == 0 or step == steps - 1:
            print(f"{name} {step}/{steps} loss {running:.4f} {time.time() - start:.0f} s", flush=True)
        after(step, running)


def train_autoencoder(pictures: list[Picture], steps: int, batch: int, device: str) -> Autoencoder:
    """Fit the autoencoder, then normalise its latents."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model = Autoencoder().to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))

    def batch_loss() -> Tensor:
        x = image_crops(pictures, batch, rng, device)
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

    fit("autoencoder", batch_loss, optimiser, 2e-3, steps)
    model.eval()
    with torch.no_grad():
        z = torch.cat([model.encode(image_crops(pictures, 32, rng, device)) for _ in range(16)])
        model.shift.copy_(z.mean(dim=(0, 2, 3), keepdim=True))
        model.scale.copy_(1 / z.std(dim=(0, 2, 3), keepdim=True))
    return model


def texture_loss(output: Tensor, target: Tensor) -> Tensor:
    """Difference of the contrast between neighbours, as a mean over 8 x 8 pixels.

    L1 alone is least for a blur where details are uncertain. This loss wants as much contrast as the picture has.
    """
    loss = output.new_zeros(())
    for distance in (1, 2):
        for dim in (2, 3):
            detail = []
            for image in (output, target):
                far = image.narrow(dim, distance, image.shape[dim] - distance)
                step = far - image.narrow(dim, 0, image.shape[dim] - distance)
                detail.append(nn.functional.avg_pool2d(step.abs(), PIXELS_PER_CELL))
            loss = loss + (detail[0] - detail[1]).abs().mean()
    return loss


def sharpen_decoder(model: Autoencoder, pictures: list[Picture], steps: int, batch: int, device: str) -> None:
    """Train the decoder alone. The latents do not change, so a denoiser stays valid."""
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    optimiser = torch.optim.Adam(model.decoder.requires_grad_().parameters(), betas=(0.9, 0.99))

    def batch_loss() -> Tensor:
        x = image_crops(pictures, batch, rng, device)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            with torch.no_grad():
                z = model.encode(x)
                z = z + LATENT_NOISE * torch.randn_like(z)
            output = model.decode(z).float()
            few = slice(0, batch // 4)
            half = model.decode(nn.functional.avg_pool2d(z[few], 2)).float()
        loss = picture_loss(output, x) + texture_loss(output, x)
        return loss + 0.2 * picture_loss(half, nn.functional.avg_pool2d(x[few], 2))

    fit("decoder", batch_loss, optimiser, 2.5e-3, steps)


@torch.no_grad()
def fit_half_size(model: Autoencoder, pictures: list[Picture], device: str) -> None:
    """Fit the map of `core.methods.scale_map`."""
    rng = np.random.default_rng(4)
    scale_map = fit_scale_map(image_crops(pictures, 512, rng, device), model.encode)
    model.half_matrix.copy_(scale_map.matrix)
    model.half_offset.copy_(scale_map.offset)


def save(model: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Store the weights in half precision; they are read into float32."""
    tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, {"channels": str(CHANNELS)} | (metadata or {}))


def stored_autoencoder(device: str) -> Autoencoder:
    """The autoencoder as users read it, after rounding: the next parts are fitted to that."""
    return load_autoencoder().to(device).to(memory_format=torch.channels_last)


@torch.no_grad()
def encode_pictures(model: Autoencoder, pictures: list[Picture], device: str) -> list[Tensor]:
    """(C, h, w) latents of whole pictures. Windows of them depend on what is beyond their borders, as in a panorama."""
    latents = []
    for picture in pictures:
        x = torch.from_numpy(picture.image).to(device).permute(2, 0, 1)[None].float() / 255
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            z = model.encode(x.contiguous(memory_format=torch.channels_last))
        latents.append(z[0].float().cpu())
    return latents


def window_batch(
    pictures: list[Picture], latents: list[Tensor], batch: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(B, C, 16, 16) latent windows and their (B, T) tokens."""
    views, rows = [], []
    for i in rng.integers(len(pictures), size=batch):
        h, w = latents[i].shape[1:]
        top, left = rng.integers(h - NATIVE + 1), rng.integers(w - NATIVE + 1)
        window = slice(top, top + NATIVE), slice(left, left + NATIVE)
        views.append(latents[i][(slice(None), *window)])
        rows.append(padded_ids(caption(pictures[i], window, rng)))
    return torch.stack(views), torch.tensor(rows)


def training_sigmas(batch: int, generator: torch.Generator) -> Tensor:
    """Log-normal around the noise levels that decide layout and texture; a fifth is uniform in the logarithm."""
    normal = (0.5 + 1.5 * torch.randn(batch, generator=generator)).exp()
    low, high = math.log(SIGMA_MIN), math.log(SIGMA_MAX)
    even = (low + (high - low) * torch.rand(batch, generator=generator)).exp()
    return torch.where(torch.rand(batch, generator=generator) < 0.2, even, normal).clamp(SIGMA_MIN, SIGMA_MAX)


class Diffusion(nn.Module):
    """Text encoder and denoiser, trained together and stored in one file."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = LandscapeUNet(CHANNELS)
        self.text = TextEncoder()


def train_denoiser(
    pictures: list[Picture], latents: list[Tensor], steps: int, batch: int, device: str, save_every: int
) -> None:
    """Fit F by the EDM loss: the errors of F have the same weight at every noise level."""
    torch.manual_seed(2)
    rng, generator = np.random.default_rng(2), torch.Generator().manual_seed(2)
    model = Diffusion().to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)

    def batch_loss() -> Tensor:
        views, ids = window_batch(pictures, latents, batch, rng)
        sigma = training_sigmas(batch, generator).to(device)[:, None, None, None]
        noise = torch.randn(views.shape, generator=generator).to(device)
        views, ids = views.to(device), ids.to(device)
        x = (views + sigma * noise).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            output = model.unet(scaled_input(x, sigma), 0.25 * sigma[:, 0, 0, 0].log(), model.text(ids))
        c_out = sigma / (sigma**2 + 1).sqrt()
        return ((denoised(x, output.float(), sigma) - views) / c_out).square().mean()

    @torch.no_grad()
    def average_and_save(step: int, running: float) -> None:
        decay = min(0.999, (step + 1) / (step + 10))
        for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            levels = {"sigma_min": str(SIGMA_MIN), "sigma_max": str(SIGMA_MAX)}
            save(average, DENOISER, levels | {"step": str(step + 1), "loss": f"{running:.4f}"})

    fit("denoiser", batch_loss, optimiser, 1.2e-3, steps, average_and_save, memory=0.99)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Train the bundled landscape model.")
    parser.add_argument("--pictures", type=int, default=2600, help="drawn pictures in the training set")
    parser.add_argument("--autoencoder-steps", type=int, default=1500, help="0 keeps the stored autoencoder")
    parser.add_argument("--autoencoder-batch", type=int, default=16)
    parser.add_argument("--decoder-steps", type=int, default=2200, help="further steps of the decoder alone")
    parser.add_argument("--steps", type=int, default=6400, help="steps of the denoiser; 0 keeps the stored one")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--save-every", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, help="file that keeps the drawn pictures between runs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    WEIGHTS.mkdir(exist_ok=True)

    start = time.time()
    if args.cache and args.cache.exists():
        pictures = pickle.loads(args.cache.read_bytes())
    else:
        pictures = draw_pictures(args.pictures, args.workers)
        if args.cache:
            args.cache.write_bytes(pickle.dumps(pictures))
    print(f"{len(pictures)} pictures in {time.time() - start:.0f} s", flush=True)

    if args.autoencoder_steps:
        save(train_autoencoder(pictures, args.autoencoder_steps, args.autoencoder_batch, args.device), AUTOENCODER)
    if args.decoder_steps:
        autoencoder = stored_autoencoder(args.device)
        sharpen_decoder(autoencoder, pictures, args.decoder_steps, args.autoencoder_batch, args.device)
        save(autoencoder, AUTOENCODER)
    autoencoder = stored_autoencoder(args.device)
    fit_half_size(autoencoder, pictures, args.device)
    save(autoencoder, AUTOENCODER)
    if args.steps:
        latents = encode_pictures(stored_autoencoder(args.device), pictures, args.device)
        print(f"latents ready at {time.time() - start:.0f} s", flush=True)
        train_denoiser(pictures, latents, args.steps, args.batch, args.device, args.save_every)


if __name__ == "__main__":
    main()

"""The bundled model, ready to use: prompts in, denoised latents and images out. No network, no host."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .autoencoder import CHANNELS, Autoencoder
from .model import LandscapeUNet, denoised, scaled_input
from .text_encoder import TextEncoder, tokenise

WEIGHTS = Path(__file__).parent / "weights"
AUTOENCODER = WEIGHTS / "autoencoder.safetensors"
DENOISER = WEIGHTS / "denoiser.safetensors"


def read_weights(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of a weight file whose name starts with `prefix`, without it, in float32 (they are stored in half)."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: the bundled weights are missing; `python -m demo.train` makes them.")
    return {k.removeprefix(prefix): v.float() for k, v in load_file(path).items() if k.startswith(prefix)}


def load_autoencoder() -> Autoencoder:
    """The bundled autoencoder."""
    model = Autoencoder()
    model.load_state_dict(read_weights(AUTOENCODER))
    return model.eval().requires_grad_(False)


def load_unet() -> LandscapeUNet:
    """The bundled denoiser network."""
    model = LandscapeUNet(CHANNELS)
    model.load_state_dict(read_weights(DENOISER, "unet."))
    return model.eval().requires_grad_(False)


def load_text_encoder() -> TextEncoder:
    """The bundled text encoder."""
    model = TextEncoder()
    model.load_state_dict(read_weights(DENOISER, "text."))
    return model.eval().requires_grad_(False)


class LandscapePipeline:
    """The bundled model with a prompt and a guidance scale: what a sampler calls."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        # channels_last: on CPUs the convolutions of this model run about a third faster so.
        self.unet = load_unet().to(self.device).to(memory_format=torch.channels_last)
        self.text = load_text_encoder().to(self.device)
        self.autoencoder = load_autoencoder().to(self.device).to(memory_format=torch.channels_last)
        self.views = 0  # views denoised so far, cond and uncond counted once

    def encode(self, prompts: list[str]) -> Tensor:
        """(B, T, d) context of some prompts."""
        return self.text(tokenise(prompts, self.device))

    def denoise(self, x: Tensor, sigma: float, context: Tensor, cfg: float = 1.0) -> Tensor:
        """Denoised prediction after classifier-free guidance, uncond + cfg (cond - uncond).

        Args:
            x: (B, C, h, w) noisy latents, any number of them.
            sigma: their noise level.
            context: (1, T, d) for all of them or (B, T, d).
            cfg: guidance scale; 1 asks the model once per view instead of twice.
        """
        self.views += len(x)
        context = context.expand(len(x), -1, -1)
        if cfg == 1.0:
            return self._predict(x, sigma, context)
        cond, uncond = self._predict(x.repeat(2, 1, 1, 1), sigma, torch.cat([context, 0 * context])).chunk(2)
        return uncond + cfg * (cond - uncond)

    def _predict(self, x: Tensor, sigma: float, context: Tensor) -> Tensor:
        level = torch.full((len(x), 1, 1, 1), sigma, device=x.device)
        inputs = scaled_input(x, level).contiguous(memory_format=torch.channels_last)
        return denoised(x, self.unet(inputs, 0.25 * level[:, 0, 0, 0].log(), context), level)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) to images (B, 3, 8h, 8w) in [0, 1]."""
        return self.autoencoder.decode(latent.contiguous(memory_format=torch.channels_last)).clamp(0, 1)

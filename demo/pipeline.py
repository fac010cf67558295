"""The bundled model, ready to use: prompts in, denoised latents and images out, without ComfyUI."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .autoencoder import CHANNELS, Autoencoder
from .model import LandscapeUNet, denoised, scaled_input
from .text_encoder import TextEncoder, tokenise
from .worlds import LANDSCAPES, World

AUTOENCODER, DENOISER = LANDSCAPES.autoencoder, LANDSCAPES.denoiser

Model = TypeVar("Model", bound=nn.Module)


def read_weights(path: Path, prefix: str = "", world: World = LANDSCAPES) -> dict[str, Tensor]:
    """The tensors of a weight file whose names start with `prefix`, which is removed; in float32, stored in half.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no whole weight file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: the weights are missing; {world.way_out}.")
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: is no whole weight file ({error}); {world.way_out}.") from error
    return {name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)}


def load_autoencoder(world: World = LANDSCAPES) -> Autoencoder:
    """The autoencoder of a world."""
    return loaded(Autoencoder(), world.autoencoder, world=world)


def loaded(model: Model, path: Path, prefix: str = "", world: World = LANDSCAPES) -> Model:
    """The model with its weights, for use alone.

    Raises:
        ValueError: the weights are those of another model, or as `read_weights`.
    """
    try:
        model.load_state_dict(read_weights(path, prefix, world))
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights are those of another version of the model; {world.way_out}.") from error
    return model.eval().requires_grad_(False)


class LandscapePipeline:
    """The bundled model, with classifier-free guidance, and its autoencoder."""

    def __init__(self, device: str = "cpu", world: World = LANDSCAPES) -> None:
        self.device, self.world = torch.device(device), world
        text = TextEncoder(vocabulary=world.vocabulary)
        self.text = loaded(text, world.denoiser, "text.", world).to(self.device)
        unet = loaded(LandscapeUNet(CHANNELS), world.denoiser, "unet.", world)
        # With channels_last, convolutions of this model are about a third faster on CPUs.
        self.unet: nn.Module = unet.to(self.device).to(memory_format=torch.channels_last)
        self.autoencoder = load_autoencoder(world).to(self.device).to(memory_format=torch.channels_last)
        self.views = 0  # views denoised so far; cond and uncond count once

    def encode(self, prompts: list[str]) -> Tensor:
        """The context (B, T, d) of B prompts."""
        return self.text(tokenise(prompts, self.device, self.world.vocabulary))

    def denoise(self, x: Tensor, sigma: float, context: Tensor, cfg: float = 1.0) -> Tensor:
        """The denoised prediction after classifier-free guidance, uncond + cfg (cond - uncond).

        Args:
            x: (B, C, h, w) noisy latents.
            sigma: their noise level.
            context: (1, T, d) for all of them or (B, T, d).
            cfg: guidance scale; at 1 the model is evaluated once per view instead of twice.
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

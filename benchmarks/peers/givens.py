"""What the cases are made of: the tests' tiny models, latents, pictures and prompts.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import comfy.hooks
import tiny_models
import torch
from comfy.ldm.modules.diffusionmodules.model import AttnBlock
from comfy.model_patcher import ModelPatcher
from sampling_run import lively
from torch import Tensor

CHANNELS = {  # and frames
    "sd15": (4,),
    "sdxl": (4,),
    "sd3": (16,),
    "flux": (16,),
    "z_image": (16,),
    "qwen_image": (16, 1),
    "wan": (16, 3),
}
# What the host's nodes for areas and masks write beside them.
AREA = {"strength": 1.0, "set_area_to_bounds": False}
MASK = {"mask_strength": 1.0, "set_area_to_bounds": False}
POOLED = {"sdxl": 1280, "flux": 32, "sd3": 32}
Prompts = Callable[[], tuple[Any, Any]]
"""() -> positive and negative, new ones: a run may write into them."""


@cache
def model_of(family: str) -> ModelPatcher:
    """The tests' tiny model."""
    model = getattr(tiny_models, family)()
    return model if family == "wan" else lively(model)


@cache
def inpainting_model() -> ModelPatcher:
    return lively(tiny_models.sd15(inpaint=True))


@cache
def vae_of(family: str) -> Any:
    return tiny_models.video_vae() if len(CHANNELS[family]) > 1 else tiny_models.vae(CHANNELS[family][0])


@cache
def local_vae() -> Any:
    """One that looks at nothing far away: layers that see the whole picture carry everywhere what random ones see."""
    vae = tiny_models.vae()
    for module in vae.first_stage_model.modules():
        if isinstance(module, AttnBlock):
            torch.nn.init.zeros_(module.proj_out.weight)
            torch.nn.init.zeros_(module.proj_out.bias)
        for name, part in module.named_children():
            if isinstance(part, torch.nn.GroupNorm):
                setattr(module, name, PerCell())
    return vae


class PerCell(torch.nn.Module):
    """In place of a normalisation over the whole picture."""

    def forward(self, x: Tensor) -> Tensor:
        """Channels of about unit size in each cell."""
        return x / x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


@cache
def control_net() -> Any:
    return tiny_models.control_net()


def latent_of(family: str, cells: tuple[int, int], batch: int = 1) -> Tensor:
    return torch.zeros(batch, *CHANNELS[family], *cells)


def image_of(size: tuple[int, int]) -> Tensor:
    """Noise of all octaves, (1, height, width, 3)."""
    generator, image = torch.Generator().manual_seed(2), torch.full((1, 3, *size), 0.5)
    for cells in (2, 4, 8, 16):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        image += 0.3 / cells**0.5 * torch.nn.functional.interpolate(noise, size, mode="bilinear")
    return image.clamp(0, 1).movedim(1, -1)


def prompt_of(family: str, seed: int, batch: int = 1, tokens: int = 8, **options: Any) -> Any:
    if family in POOLED:
        options["pooled_output"] = torch.linspace(-1, 1, POOLED[family])[None] * seed
    return tiny_models.prompt(seed, batch, tokens, **options)


def prompts(batch: int = 1, **options: Any) -> tuple[Any, Any]:
    """Of sd15."""
    return prompt_of("sd15", 1, batch, **options), prompt_of("sd15", 2, batch, **options)


def with_another(**options: Any) -> tuple[Any, Any]:
    """A second positive prompt beside the first, with some options."""
    positive, negative = prompts()
    return positive + prompt_of("sd15", 5, **options), negative


def hinted(
    cells: tuple[int, int], span: tuple[float, float] = (0.0, 1.0), more: bool = False, other_from: int | None = None
) -> tuple[Any, Any]:
    """Prompts with the hint of a ControlNet, another one from a column of cells on; `more` adds a second net."""
    height, width = 8 * cells[0], 8 * cells[1]
    hint = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(9))
    hint *= torch.linspace(0.2, 1.8, width)  # not the same all along
    if other_from is not None:
        hint[..., 8 * other_from :] = 2 - hint[..., 8 * other_from :]
    net = control_net().copy().set_cond_hint(hint, 0.9, span)
    if more:
        net.set_previous_controlnet(control_net().copy().set_cond_hint(hint.flip(-1), 0.5, (0.0, 1.0)))
    return prompts(control=net, control_apply_to_uncond=True)


def lora_hooks() -> Any:
    """A LoRA whose strength changes within the run."""
    weights = tiny_models.lora_weights(model_of("sd15"))
    hooks, group = comfy.hooks.create_hook_lora(weights, 1.0, 0.0), comfy.hooks.HookKeyframeGroup()
    for start, strength in ((0.0, 1.0), (0.5, 0.2)):
        group.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks.set_keyframes_on_hooks(group)
    return hooks

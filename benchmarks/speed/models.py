"""Models to measure with, in the host's own classes: the bundled one, and two of the usual shapes with random weights.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.model_base
import comfy.model_management
import comfy.sample
import comfy.supported_models
import torch
from comfy.model_patcher import ModelPatcher
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.families import grid
from torch import Tensor

CFG = 4.0
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_checkpoint": False,
    "use_spatial_transformer": True,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "legacy": False,
}
SD15 = {
    **UNET,
    "adm_in_channels": None,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_linear_in_transformer": False,
    "context_dim": 768,
    "num_heads": 8,
}
SDXL = {
    **UNET,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "use_linear_in_transformer": True,
    "context_dim": 2048,
    "num_head_channels": 64,
}

Conditioning = list[list[Any]]  # as text encoders give it


class Subject(NamedTuple):
    """A model with its two prompts."""

    name: str  # in MODELS
    patcher: ModelPatcher
    prompts: tuple[Conditioning, Conditioning]  # positive and negative
    window: int  # side of its native window in latent cells

    @property
    def channels(self) -> int:
        return self.patcher.model.latent_format.latent_channels

    @property
    def grid(self) -> int:
        return grid(self.patcher)

    def denoiser(self, window: int) -> Callable[[Tensor, float], Tensor]:
        """The network itself for square views of that side: (N, C, h, w) and sigma to predictions, CFG included.

        Nothing of the host's sampling is in between: both prompts in one call, as the host does it when memory lets it.
        """
        model, (positive, negative) = self.patcher.model, self.prompts
        view = torch.zeros(1, self.channels, window, window, device=self.patcher.load_device)
        told = [self._encoded(prompt, view) for prompt in (positive, negative)]

        def denoise(views: Tensor, sigma: float) -> Tensor:
            rows = torch.cat([views, views])
            extra = {
                name: torch.cat([value[name].expand(len(views), *value[name].shape[1:]) for value in told])
                for name in told[0]
            }
            cond, uncond = model.apply_model(rows, rows.new_full((len(rows),), sigma), **extra).chunk(2)
            return uncond + CFG * (cond - uncond)

        return denoise

    def _encoded(self, prompt: Conditioning, view: Tensor) -> dict[str, Tensor]:
        ((context, options),) = prompt
        model, device = self.patcher.model, self.patcher.load_device
        sides = {"width": 8 * view.shape[-1], "height": 8 * view.shape[-2]}
        conds = model.extra_conds(cross_attn=context.to(device), noise=view, device=device, **sides, **options)
        return {name: value.cond.to(device) for name, value in conds.items()}


def demo() -> Subject:
    """The bundled model."""
    clip = demo_clip()
    prompts = tuple(clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer day", ""))
    bare = [[[prompt[0][0], {}]] for prompt in prompts]
    patcher = demo_model()
    # Now, as the others are made on the GPU: a run would move the weights there in inference mode, and the papers'
    # loops could not differentiate through them.
    comfy.model_management.load_models_gpu([patcher])
    return Subject("demo", patcher, (bare[0], bare[1]), 16)


def sd15() -> Subject:
    """Stable Diffusion 1.5 in shape."""
    return random_unet("sd15", SD15, window=64)


def sdxl() -> Subject:
    """SDXL in shape."""
    return random_unet("sdxl", SDXL, window=128)


def random_unet(name: str, unet: dict[str, Any], window: int, dtype: torch.dtype | None = None) -> Subject:
    """A U-Net of that configuration; SDXL's own way to tell it the size, if it has one for pooled text."""
    if unet["adm_in_channels"]:
        family, base, pooled = comfy.supported_models.SDXL, comfy.model_base.SDXL, 1280
    else:
        family, base, pooled = comfy.supported_models.SD15, comfy.model_base.BaseModel, 0
    return random_model(name, family, base, unet, window, (77, unet["context_dim"]), pooled, dtype)


def random_model(
    name: str,
    family: Any,
    base: Any,
    configuration: dict[str, Any],
    window: int,
    text: tuple[int, int],
    pooled: int,
    dtype: torch.dtype | None = None,
) -> Subject:
    """A model of the host's classes with random weights, the same ones for every `dtype`, but rounded to it.

    `text` is the number and the width of the tokens of a prompt, `pooled` the width of its pooled text. Without `dtype`
    it is half precision, in the kind that the device computes fastest.
    """
    device = comfy.model_management.get_torch_device()
    dtype = dtype or (torch.float16 if device.type == "cuda" else torch.bfloat16)
    settings = family({**configuration, "dtype": dtype})
    settings.set_inference_dtype(dtype, None)
    model = base(settings, device=device)
    generator = torch.Generator(device).manual_seed(0)
    for path, value in model.diffusion_model.named_parameters():
        if value.ndim > 1:
            drawn = torch.randn(value.shape, generator=generator, device=device)
            value.copy_(drawn * value[0].numel() ** -0.5)  # keeps the size of what passes through
        else:
            value.fill_(float(path.endswith(("weight", "scale"))))
    prompts = []
    for seed in (1, 2):
        words = torch.Generator().manual_seed(seed)
        options = {"pooled_output": torch.randn(1, pooled, generator=words)} if pooled else {}
        prompts.append([[torch.randn(1, *text, generator=words), options]])
    return Subject(name, ModelPatcher(model, device, device), (prompts[0], prompts[1]), window)


MODELS: dict[str, Callable[[], Subject]] = {"demo": demo, "sd15": sd15, "sdxl": sdxl}

"""The models that are measured: the shapes of three families with random weights, or tiny ones of the same classes.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_base
import comfy.supported_models
import tiny_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.sd import VAE

from ..speed.models import SD15, SDXL, Subject, random_model, random_unet
from . import device

TINY_WINDOW = 8
TINY_UNET = {
    "model_channels": 64,  # SDXL has heads of 64
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1],
    "context_dim": 64,
}
FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 3072,
    "mlp_ratio": 4.0,
    "num_heads": 24,
    "depth": 19,
    "depth_single_blocks": 38,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
FEW_BLOCKS = {"depth": 4, "depth_single_blocks": 8}
WHOLE_FLUX = 40 * 2**30  # bytes that all blocks need, with room for the windows


def sd15(dtype: torch.dtype, tiny: bool) -> Subject:
    """Stable Diffusion 1.5 in shape."""
    return random_unet("sd15", SD15 | TINY_UNET if tiny else SD15, TINY_WINDOW if tiny else 64, dtype)


def sdxl(dtype: torch.dtype, tiny: bool) -> Subject:
    """SDXL in shape."""
    return random_unet("sdxl", SDXL | TINY_UNET if tiny else SDXL, TINY_WINDOW if tiny else 128, dtype)


def flux(dtype: torch.dtype, tiny: bool) -> Subject:
    """Flux in shape; where memory does not hold it with fewer blocks, but of the real width."""
    few: dict[str, Any] = tiny_models.FLUX if tiny else {} if device.free_memory() > WHOLE_FLUX else FEW_BLOCKS
    shape = FLUX | few
    name = "flux" if tiny or not few else "flux with a fifth of its blocks"
    classes = comfy.supported_models.Flux, comfy.model_base.Flux
    text = 8 if tiny else 256, shape["context_in_dim"]
    return random_model(name, *classes, shape, TINY_WINDOW if tiny else 128, text, shape["vec_in_dim"], dtype)


FAMILIES: dict[str, Callable[[torch.dtype, bool], Subject]] = {"sd15": sd15, "sdxl": sdxl, "flux": flux}


def vae(tiny: bool) -> VAE:
    """Stable Diffusion's autoencoder in shape."""
    levels = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32 if tiny else 128,
        "ch_mult": [1, 1, 1, 1] if tiny else [1, 2, 4, 4],
        "num_res_blocks": 1 if tiny else 2,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": levels, "embed_dim": 4}
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5
        if value.ndim > 1
        else torch.full(value.shape, float(name.endswith("weight")))
        for name, value in AutoencoderKL(**params).state_dict().items()
    }
    return VAE(sd=weights, config={"params": params}, dtype=torch.bfloat16 if device.CUDA else torch.float32)

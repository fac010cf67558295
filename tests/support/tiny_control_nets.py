"""Tiny ControlNets of all kinds that the host has, for the models of `tiny_models`, with random weights.

Import only from tests/nodes: this needs ComfyUI.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.cldm.dit_embedder
import comfy.cldm.mmdit
import comfy.controlnet
import comfy.latent_formats
import comfy.ldm.flux.controlnet
import comfy.ldm.lumina.controlnet
import comfy.ldm.qwen_image.controlnet
import comfy.model_patcher
import comfy.ops
import comfy.t2i_adapter.adapter
import torch
from comfy_extras.nodes_controlnet import SetUnionControlNetType
from tiny_models import CPU, FLUX, QWEN_IMAGE, SD3, control_net, sd15

NETWORK = {"dtype": torch.float32, "operations": comfy.ops.disable_weight_init}


def fill(module, seed=3, scale=0.05, norms=0.0):
    """The module with random weights; `norms` is added to the weights of its norms."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, value in module.state_dict().items():
        is_norm = "norm" in name and name.endswith("weight")
        weights[name] = torch.randn(value.shape, generator=generator) * scale + norms * is_norm
    module.load_state_dict(weights)
    return module


class TinyVAE:
    """As much of a VAE as a ControlNet asks for: 8 x 8 means of the picture, in every channel another mixture."""

    encoded = 0

    def spacial_compression_encode(self):
        return 8

    def encode(self, images):
        self.encoded += 1
        means = torch.nn.functional.avg_pool2d(images.movedim(-1, 1), 8)
        mixtures = torch.randn(16, 3, generator=torch.Generator().manual_seed(4))
        return torch.einsum("bchw,kc->bkhw", means, mixtures)


class VideoVAE(TinyVAE):
    """The same for latents of five dimensions."""

    def encode(self, images):
        return super().encode(images).unsqueeze(2)


class _ShortAdapter(comfy.t2i_adapter.adapter.Adapter):
    """For the tiny U-Net, with one residual block a scale in place of two."""

    def forward(self, x):
        features = super().forward(x)["input"]
        return {"input": [feature for index, feature in enumerate(features) if index % 3 != 2]}


def t2i_adapter(xl=False):
    model = _ShortAdapter(
        cin=768 if xl else 192, channels=[32, 64, 64, 64], nums_rb=2, ksize=1, sk=True, use_conv=False, xl=xl
    )
    return comfy.controlnet.T2IAdapter(fill(model), model.input_channels, 8, "nearest-exact", CPU)


def control_lora():
    """Its network is made of the model's weights when a run begins, and is gone afterwards."""
    model = sd15().model.diffusion_model.state_dict()
    own = {name: value for name, value in control_net().control_model.state_dict().items() if name not in model}
    return comfy.controlnet.ControlLora({**own, "lora_controlnet": torch.zeros(())})


def _flux(modes=0, concat_mask=False):
    net = comfy.ldm.flux.controlnet.ControlNetFlux(
        latent_input=True, num_union_modes=modes, control_latent_channels=16 + concat_mask, **FLUX, **NETWORK
    )
    return comfy.controlnet.ControlNet(
        fill(net),
        compression_ratio=1,
        latent_format=comfy.latent_formats.Flux(),
        concat_mask=concat_mask,
        load_device=CPU,
        extra_conds=["y", "guidance"],
    )


def flux_control(concat_mask=False):
    return _flux(concat_mask=concat_mask)


def flux_union():
    return SetUnionControlNetType.execute(_flux(modes=8), "tile").args[0]


def flux_of_pixels(mistoline=False):
    """XLabs' and MistoLine's: the network itself brings pixels to cells."""
    net = fill(comfy.ldm.flux.controlnet.ControlNetFlux(mistoline=mistoline, **FLUX, **NETWORK), scale=0.3)
    return comfy.controlnet.ControlNet(net, load_device=CPU, extra_conds=["y", "guidance"])


def qwen_instantx(concat_mask=False):
    net = comfy.ldm.qwen_image.controlnet.QwenImageControlNetModel(
        extra_condition_channels=4 * concat_mask, **QWEN_IMAGE, **NETWORK
    )
    options = {"compression_ratio": 1, "latent_format": comfy.latent_formats.Wan21(), "extra_conds": []}
    return comfy.controlnet.ControlNet(fill(net), concat_mask=concat_mask, load_device=CPU, **options)


def qwen_fun():
    net = comfy.ldm.qwen_image.controlnet.QwenImageFunControlNetModel(
        132, 64, 2, 32, num_control_blocks=2, injection_layers=(0, 1), **NETWORK
    )
    options = {"compression_ratio": 1, "latent_format": comfy.latent_formats.Wan21(), "extra_conds": []}
    return comfy.controlnet.QwenFunControlNet(fill(net), load_device=CPU, **options)


def sd3_control(concat_mask=False):
    net = comfy.cldm.mmdit.ControlNet(num_blocks=1, control_latent_channels=16 + concat_mask, **SD3, **NETWORK)
    options = {"compression_ratio": 1, "latent_format": comfy.latent_formats.SD3()}
    return comfy.controlnet.ControlNet(fill(net), concat_mask=concat_mask, load_device=CPU, **options)


def sd35_control():
    """Its blur and tile kinds take the picture as it is, others change it first."""
    net = comfy.cldm.dit_embedder.ControlNetEmbedder(
        img_size=None, patch_size=2, in_chans=16, attention_head_dim=64, num_attention_heads=2, adm_in_channels=32,
        num_layers=1, main_model_double=2, double_y_emb=False, device=CPU, **NETWORK,
    )  # fmt: skip
    options = {"compression_ratio": 1, "latent_format": comfy.latent_formats.SD3()}
    return comfy.controlnet.ControlNetSD35(fill(net), load_device=CPU, preprocess_image=lambda a: 1 - a, **options)


def z_image_fun(inpaint=False):
    """A model patch of the host, which the node Z-Image Fun ControlNet takes."""
    sizes = {"dim": 256, "n_heads": 8, "n_kv_heads": 8, "multiple_of": 32, "ffn_dim_multiplier": 2.0}
    more = {"n_control_layers": 15, "additional_in_dim": 17, "refiner_control": True} if inpaint else {}
    net = comfy.ldm.lumina.controlnet.ZImage_Control(**sizes, **more, device=CPU, **NETWORK)
    return comfy.model_patcher.ModelPatcher(fill(net, norms=1.0), CPU, CPU)


class Kind(NamedTuple):
    """A kind of ControlNet."""

    family: str  # a builder of tiny_models
    build: Callable[[], Any]
    vae: type[TinyVAE] | None = None  # what its hint goes through
    masked: bool = False  # whether a mask is part of its hint


KINDS = {
    "ControlNet": Kind("sd15", control_net),
    "Control-LoRA": Kind("sd15", control_lora),
    "T2I-Adapter": Kind("sd15", t2i_adapter),
    "SDXL": Kind("sdxl", lambda: control_net(xl=True)),
    "SD3": Kind("sd3", sd3_control, TinyVAE),
    "SD3 inpainting": Kind("sd3", lambda: sd3_control(True), TinyVAE, True),
    "SD3.5": Kind("sd3", sd35_control, TinyVAE),
    "Flux InstantX": Kind("flux", flux_control, TinyVAE),
    "Flux inpainting": Kind("flux", lambda: flux_control(True), TinyVAE, True),
    "Flux Union": Kind("flux", flux_union, TinyVAE),
    "Flux XLabs": Kind("flux", flux_of_pixels),
    "Flux MistoLine": Kind("flux", lambda: flux_of_pixels(mistoline=True)),
    "Qwen InstantX": Kind("qwen_image", qwen_instantx, VideoVAE),
    "Qwen InstantX inpainting": Kind("qwen_image", lambda: qwen_instantx(True), VideoVAE, True),
    "Qwen Fun": Kind("qwen_image", qwen_fun, VideoVAE),
}

"""Tiny models of the host's own classes with random weights: the real code paths, in milliseconds on a CPU.

Needs ComfyUI: import only from tests/nodes, or after `benchmarks.host.start_host`. Every builder gives a ModelPatcher.
"""

from functools import partial

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.wan.vae import WanVAE
from joint_diffusion.core.perception.lpips import lpips_shapes
from joint_diffusion.core.perception.vgg import vgg_shapes

CPU = torch.device("cpu")

# One double and one single block of Flux, and of what is built like it, as its configuration says it.
BLOCKS = {
    "context_in_dim": 64,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "qkv_bias": True,
    "txt_ids_dims": [],
}
FLUX = {
    **BLOCKS,
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 32,
    "patch_size": 2,
    "guidance_embed": True,
}


# A Qwen-Image of two blocks.
QWEN_IMAGE = {
    "image_model": "qwen_image",
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 64,
    "axes_dims_rope": (8, 12, 12),
    "in_channels": 64,
    "out_channels": 16,
}

# A Stable Diffusion 3 of two blocks, which are 128 wide.
SD3 = {
    "in_channels": 16,
    "patch_size": 2,
    "depth": 2,
    "adm_in_channels": 32,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}},
    "pos_embed_max_size": 32,
    "pos_embed_scaling_factor": None,
    "num_patches": 1024,
    "input_size": None,
    "context_size": 64,
}


def _patcher(model: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in model.diffusion_model.state_dict().items():
        is_gain = name.endswith("norm.weight") or "scale" in name.split(".")[-1]
        weights[name] = (torch.randn(value.shape, generator=generator) * 0.05 + float(is_gain)).to(value.dtype)
    model.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def _unet(family, base, *, in_channels=4, context_dim=64, adm=None, inpaint=False, dtype=torch.float32):
    config = dict(family.unet_config)
    config.update(
        image_size=32,
        in_channels=9 if inpaint else in_channels,
        out_channels=4,
        model_channels=32,
        num_res_blocks=[1, 1],
        channel_mult=[1, 2],
        num_heads=-1,
        num_head_channels=16,
        use_spatial_transformer=True,
        transformer_depth=[1, 1],
        transformer_depth_output=[1, 1, 1, 1],
        transformer_depth_middle=1,
        context_dim=context_dim,
        legacy=False,
        use_linear_in_transformer=False,
        adm_in_channels=adm,
        use_temporal_attention=False,
        dtype=dtype,
    )
    if adm:
        config["num_classes"] = "sequential"
    settings = family(config)
    settings.set_inference_dtype(dtype, None)
    settings.unet_config.update(num_heads=-1, num_head_channels=16)
    model = base(settings, device=CPU)
    if inpaint:
        model.set_inpaint()
    return _patcher(model)


def sd15(**options):
    """4 channels, eps prediction; context (B, tokens, 64). `inpaint=True`: 9 input channels."""
    return _unet(comfy.supported_models.SD15, comfy.model_base.BaseModel, **options)


def sdxl(**options):
    """As sd15, plus SDXL's pooled text (B, 1280) and size conditioning in `y`."""
    return _unet(comfy.supported_models.SDXL, comfy.model_base.SDXL, adm=2816, **options)


def _transformer(settings, base, dtype):
    settings.set_inference_dtype(dtype, None)
    return _patcher(base(settings, device=CPU))


def flux(dtype=torch.float32, inpaint=False):
    """16 channels, flow model, patch 2; context (B, tokens, 64), pooled text (B, 32). `inpaint=True`: Flux Fill."""
    channels = 16 + 16 + 64 if inpaint else 16  # with the picture, and a mask of 8 x 8 pixels for each cell
    config = {**FLUX, "in_channels": channels, "dtype": dtype}
    return _transformer(comfy.supported_models.Flux(config), comfy.model_base.Flux, dtype)


def qwen_image(dtype=torch.float32):
    """16 channels, flow model, latents of 5 dimensions (B, 16, 1, h, w), patch 2; context (B, tokens, 64)."""
    return _transformer(
        comfy.supported_models.QwenImage({**QWEN_IMAGE, "dtype": dtype}), comfy.model_base.QwenImage, dtype
    )


def sd3(dtype=torch.float32):
    """16 channels, flow model, patch 2; context (B, tokens, 64), pooled text (B, 32)."""
    return _transformer(comfy.supported_models.SD3({**SD3, "dtype": dtype}), comfy.model_base.SD3, dtype)


def z_image(dtype=torch.float32):
    """16 channels, flow model, patch 2, Z-Image's modulation; context (B, tokens, 64)."""
    config = {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": 256,  # the least with this modulation
        "n_layers": 4,
        "n_refiner_layers": 2,
        "n_heads": 8,
        "n_kv_heads": 8,
        "cap_feat_dim": 64,
        "axes_dims": [8, 12, 12],
        "axes_lens": [300, 512, 512],
        "multiple_of": 32,
        "ffn_dim_multiplier": 2.0,
        "qk_norm": True,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
        "dtype": dtype,
    }
    return _transformer(comfy.supported_models.ZImage(config), comfy.model_base.Lumina2, dtype)


def wan(dtype=torch.float32, inpaint=False):
    """Films: 16 channels, flow model, latents of 5 dimensions (B, 16, T, h, w), patch 2; context (B, tokens, 64).

    `inpaint=True`: image to video, which is shown pictures and a mask.
    """
    family = comfy.supported_models.WAN21_I2V if inpaint else comfy.supported_models.WAN21_T2V
    config = {
        "image_model": "wan2.1",
        "model_type": "t2v",
        "in_dim": 16 + 16 + 4 if inpaint else 16,
        "dim": 64,
        "ffn_dim": 128,
        "freq_dim": 32,
        "text_dim": 64,
        "num_heads": 2,
        "num_layers": 2,
        "dtype": dtype,
    }
    return _transformer(family(config), partial(comfy.model_base.WAN21, image_to_video=inpaint), dtype)


def anima(dtype=torch.float32):
    """16 channels, flow model, latents of 5 dimensions (B, 16, 1, h, w), patch 2; context (B, tokens, 64)."""
    config = {
        "image_model": "anima",
        "max_img_h": 240,
        "max_img_w": 240,
        "max_frames": 128,
        "in_channels": 16,
        "out_channels": 16,
        "patch_spatial": 2,
        "patch_temporal": 1,
        "model_channels": 64,
        "num_blocks": 2,
        "num_heads": 2,
        "crossattn_emb_channels": 64,
        "pos_emb_cls": "rope3d",
        "pos_emb_learnable": True,
        "use_adaln_lora": True,
        "adaln_lora_dim": 16,
        "dtype": dtype,
    }
    return _transformer(comfy.supported_models.Anima(config), comfy.model_base.Anima, dtype)


def chroma_radiance(dtype=torch.float32):
    """Paints in pixels: latents are pictures (B, 3, H, W) in -1..1, flow model, patch 16; context (B, tokens, 64)."""
    config = {
        **BLOCKS,
        "image_model": "chroma_radiance",
        "in_channels": 3,
        "out_channels": 3,
        "patch_size": 16,
        "vec_in_dim": None,
        "in_dim": 64,  # the model has these numbers of its own
        "out_dim": 64,
        "hidden_dim": 64,
        "n_layers": 1,
        "nerf_hidden_size": 8,
        "nerf_mlp_ratio": 2,
        "nerf_depth": 1,
        "nerf_max_freqs": 4,
        "nerf_tile_size": 512,
        "nerf_final_head_type": "conv",
        "nerf_embedder_dtype": torch.float32,
        "use_x0": False,
        "use_sequential_txt_ids": False,
        "dtype": dtype,
    }
    return _transformer(comfy.supported_models.ChromaRadiance(config), comfy.model_base.ChromaRadiance, dtype)


def control_net(xl=False):
    """A ControlNet for `sd15`, or for `sdxl`: hints are images (B, 3, 8 h, 8 w)."""
    more = {"num_classes": "sequential", "adm_in_channels": 2816} if xl else {}
    net = comfy.cldm.cldm.ControlNet(
        image_size=32,
        in_channels=4,
        model_channels=32,
        hint_channels=3,
        num_res_blocks=[1, 1],
        channel_mult=[1, 2],
        num_head_channels=16,
        use_spatial_transformer=True,
        transformer_depth=[1, 1],
        transformer_depth_middle=1,
        context_dim=64,
        legacy=False,
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
        **more,
    )
    generator = torch.Generator().manual_seed(3)
    net.load_state_dict({k: torch.randn(v.shape, generator=generator) * 0.05 for k, v in net.state_dict().items()})
    return comfy.controlnet.ControlNet(net, load_device=CPU)


def prompt(seed=0, batch=1, tokens=8, **options):
    """Conditioning as a text encoder gives it: [[(batch, tokens, 64), options]]."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(batch, tokens, 64, generator=generator), options]]


class _TinyClip(comfy.sd1_clip.SD1ClipModel):
    """CLIP with the pooled text that the models above take."""

    def encode_token_weights(self, token_weight_pairs):
        context, pooled = super().encode_token_weights(token_weight_pairs)
        return context, pooled[:, :32]


def text_encoder() -> comfy.sd.CLIP:
    """CLIP of two layers with its true tokenizer: context (B, tokens, 64), pooled text (B, 32)."""
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, _TinyClip)
    clip = comfy.sd.CLIP(target, model_options={"clip_l_model_config": shape}, disable_dynamic=True)
    generator = torch.Generator().manual_seed(7)
    for value in clip.cond_stage_model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
    return clip


def _vae(model: torch.nn.Module, scale: float, config=None) -> comfy.sd.VAE:
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: torch.ones_like(value)
        if name.endswith("gamma") or (value.ndim == 1 and name.endswith("weight"))
        else torch.randn(value.shape, generator=generator) * scale
        for name, value in model.state_dict().items()
    }
    return comfy.sd.VAE(sd=weights, config=config, device=CPU, dtype=torch.float32)


def vae(latent_channels=4) -> comfy.sd.VAE:
    """SD's autoencoder with 32 channels: 4 latent channels (Flux: 16), 8 pixels per cell."""
    levels = {
        "double_z": True,
        "z_channels": latent_channels,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": levels, "embed_dim": latent_channels}
    result = _vae(AutoencoderKL(**params), 0.05, {"params": params})
    result.latent_channels = latent_channels  # which ComfyUI does not read from the configuration
    return result


def video_vae(transparent: bool = False) -> comfy.sd.VAE:
    """Wan's and Qwen-Image's autoencoder with 8 channels: latents (B, 16, T, h, w), 8 pixels per cell.

    `transparent` is that of Qwen-Image-Layered, whose pictures have an alpha channel.
    """
    shape = {
        "dim": 8,
        "z_dim": 16,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
        "image_channels": 3 + transparent,
        "conv_out_channels": 3 + transparent,
        "dropout": 0.0,
    }
    return _vae(WanVAE(**shape), 0.2)


def pixel_space_vae() -> comfy.sd.VAE:
    """The host's VAE of models that paint in pixels, which changes nothing but the range."""
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.ones(())}, device=CPU, dtype=torch.float32)


def louder(model, by: float):
    """The model with a patch: what attention to the prompt says counts so many times as much."""
    model = model.clone()
    model.set_model_attn2_output_patch(lambda attended, _: attended * by)
    return model


def lora_weights(model) -> dict[str, torch.Tensor]:
    """A LoRA on what makes every attention query, in the common file format."""
    generator = torch.Generator().manual_seed(4)
    weights = {}
    for name, value in model.model.diffusion_model.state_dict().items():
        if name.endswith(("to_q.weight", "qkv.weight", "attn.q.weight")):
            key = "diffusion_model." + name.removesuffix(".weight")
            weights[f"{key}.lora_up.weight"] = torch.randn(value.shape[0], 2, generator=generator)
            weights[f"{key}.lora_down.weight"] = torch.randn(2, value.shape[1], generator=generator)
    return weights


def perceptual_weights() -> dict[str, torch.Tensor]:
    """Random weights of VGG-16 and of LPIPS' linear layers, with activations of about unit size everywhere."""
    generator = torch.Generator().manual_seed(6)
    weights = {
        name: torch.randn(shape, generator=generator) * (2 / (9 * shape[1])) ** 0.5
        if len(shape) == 4
        else torch.zeros(shape)
        for name, shape in vgg_shapes().items()
    }
    return weights | {name: torch.rand(shape, generator=generator) for name, shape in lpips_shapes().items()}

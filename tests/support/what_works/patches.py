"""Patches of models by the host's own nodes, and which families they are for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from comfy_extras import (
    nodes_apg,
    nodes_attention_multiply,
    nodes_cfg,
    nodes_chroma_radiance,
    nodes_differential_diffusion,
    nodes_easycache,
    nodes_eps,
    nodes_freelunch,
    nodes_fresca,
    nodes_hypertile,
    nodes_lumina2,
    nodes_mahiro,
    nodes_model_downscale,
    nodes_nag,
    nodes_pag,
    nodes_perpneg,
    nodes_rope,
    nodes_sag,
    nodes_slg,
    nodes_tcfg,
    nodes_tomesd,
    nodes_video_model,
)
from comfy_extras import nodes_model_advanced as advanced

from .families import FAMILIES, fresh, model_of
from .runs import Asked, is_flow

UNETS = ("SD 1.5", "SDXL")
PIXELS = "Chroma Radiance (pixels)"
EVERY = tuple(FAMILIES)
# What self-attention says and asks, in U-Nets and in Wan.
SELF_ATTENTION = ("attn1.to_out.0.weight", "attn1.to_q.weight", "self_attn.o.weight", "self_attn.q.weight")
TRANSFORMERS = tuple(family for family in FAMILIES if family not in UNETS)


@dataclass(frozen=True)
class Patch:
    """A node that patches a model.

    Attributes:
        apply: the model with the patch, for a family.
        families: for which it does anything.
        within: the run in which it does: some act on few things only.
    """

    apply: Callable[[Any, str], Any]
    families: tuple[str, ...] = EVERY
    within: Callable[[Asked], Asked] = lambda asked: asked

    def on(self, asked: Asked) -> tuple[Asked, Asked]:
        """The run with the patch, and without it."""
        without = self.within(asked)
        model = without.model or model_of(asked.family)
        return replace(without, model=self.apply(model, asked.family)), without


def _node(node: Any, *arguments: Any, **named: Any) -> Callable[[Any, str], Any]:
    def patched(model: Any, family: str) -> Any:
        result = node.execute(model, *arguments, **named)
        return (result if isinstance(result, tuple) else result.args)[0]

    return patched


def _perp_neg(model: Any, family: str) -> Any:
    return nodes_perpneg.PerpNeg.execute(model, FAMILIES[family].prompt(4), 1.0).args[0]


def _shifted(model: Any, family: str) -> Any:
    """By the node that ComfyUI has for the family."""
    if family in ("Flux", PIXELS):
        return advanced.ModelSamplingFlux().patch(model, 2.0, 0.5, 1024, 1024)[0]
    if family in ("Qwen-Image", "Z-Image"):
        return advanced.ModelSamplingAuraFlow().patch_aura(model, 5.0)[0]
    return advanced.ModelSamplingSD3().patch(model, 5.0)[0]


@cache
def _attentive(family: str) -> Any:
    """A model in which self-attention says as much as all else: in a random one it hardly says anything."""
    model = fresh(family)
    with torch.no_grad():
        for name, weight in model.model.diffusion_model.named_parameters():
            if name.endswith(SELF_ATTENTION):
                weight.mul_(30)
    return model


def _soft_mask(asked: Asked) -> Asked:
    mask = asked.of.across(torch.linspace(0, 1, 16))[None]
    return replace(asked.option(noise_mask=mask), latent=asked.of.noise(7))


def _many_steps(asked: Asked) -> Asked:
    flow = is_flow(model_of(asked.family))
    sigmas = [1.0, 0.9, 0.8, 0.7, 0.6, 0.45, 0.3] if flow else [14.6, 8.0, 4.0, 3.0, 2.0, 1.0, 0.5]
    return asked.option(sigmas=torch.tensor(sigmas))


def _among_attentive(asked: Asked) -> Asked:
    return replace(asked, model=_attentive(asked.family))


PATCHES: dict[str, Patch] = {
    "Perturbed-Attention Guidance": Patch(_node(nodes_pag.PerturbedAttentionGuidance, 3.0), UNETS),
    "Self-Attention Guidance": Patch(_node(nodes_sag.SelfAttentionGuidance, 0.5, 2.0), UNETS),
    "Skip Layer Guidance": Patch(
        _node(nodes_slg.SkipLayerGuidanceDiT, 3.0, 0.0, 1.0, double_layers="0"),
        tuple(family for family in TRANSFORMERS if family != "Z-Image"),
    ),
    "Perp-Neg": Patch(_perp_neg),
    "Tangential Damping CFG": Patch(_node(nodes_tcfg.TCFG)),
    "Adaptive Projected Guidance": Patch(_node(nodes_apg.APG, 0.5, 5.0, 0.3)),
    "Mahiro CFG": Patch(_node(nodes_mahiro.Mahiro)),
    "CFG-Zero*": Patch(_node(nodes_cfg.CFGZeroStar)),
    "CFG Norm": Patch(_node(nodes_cfg.CFGNorm, 0.9)),
    "RescaleCFG": Patch(lambda model, _: advanced.RescaleCFG().patch(model, 0.7)[0]),
    "RenormCFG": Patch(  # asks the model for a number that Wan does not have
        _node(nodes_lumina2.RenormCFG, 100.0, 0.8), tuple(family for family in FAMILIES if family != "Wan")
    ),
    "FreSca": Patch(_node(nodes_fresca.FreSca, 1.2, 1.3, 2)),
    "Epsilon Scaling": Patch(_node(nodes_eps.EpsilonScaling, 1.05)),
    "Temporal Score Rescaling": Patch(_node(nodes_eps.TemporalScoreRescaling, 0.9, 1.0)),
    "FreeU": Patch(_node(nodes_freelunch.FreeU, 1.1, 1.2, 0.9, 0.2), UNETS),
    "FreeU V2": Patch(_node(nodes_freelunch.FreeU_V2, 1.3, 1.4, 0.9, 0.2), UNETS),
    "HyperTile": Patch(_node(nodes_hypertile.HyperTile, 32, 2, 0, False), UNETS),
    "Token Merging": Patch(_node(nodes_tomesd.TomePatchModel, 0.5), UNETS, _among_attentive),
    "Kohya Deep Shrink": Patch(
        _node(nodes_model_downscale.PatchModelAddDownscale, 1, 2.0, 0.0, 0.9, True, "bicubic", "bicubic"), UNETS
    ),
    "Normalized Attention Guidance": Patch(_node(nodes_nag.NAGuidance, 5.0, 0.5, 2.5), (*UNETS, "Flux", PIXELS)),
    "LazyCache": Patch(_node(nodes_easycache.LazyCacheNode, 10.0, 0.0, 1.0, False), within=_many_steps),
    "EasyCache": Patch(_node(nodes_easycache.EasyCacheNode, 10.0, 0.0, 1.0, False), within=_many_steps),
    "UNet Self Attention Multiply": Patch(
        _node(nodes_attention_multiply.UNetSelfAttentionMultiply, 1.2, 1.0, 1.1, 1.3), UNETS
    ),
    "UNet Cross Attention Multiply": Patch(
        _node(nodes_attention_multiply.UNetCrossAttentionMultiply, 1.2, 1.0, 1.1, 1.3), UNETS
    ),
    "Model Sampling, v-prediction": Patch(
        lambda model, _: advanced.ModelSamplingDiscrete().patch(model, "v_prediction", False)[0], UNETS
    ),
    "Model Sampling, shift": Patch(_shifted, TRANSFORMERS, within=lambda asked: asked.option(sigmas=None)),
    "Scale RoPE": Patch(
        _node(nodes_rope.ScaleROPE, 0.7, 0.0, 0.7, 0.0, 1.0, 0.0), ("Flux", "Z-Image", "Wan"), _among_attentive
    ),
    "Video Linear CFG": Patch(lambda model, _: nodes_video_model.VideoLinearCFGGuidance().patch(model, 1.0)[0]),
    "Differential Diffusion": Patch(_node(nodes_differential_diffusion.DifferentialDiffusion, 1.0), within=_soft_mask),
    "Chroma Radiance Options": Patch(
        lambda model, _: nodes_chroma_radiance.ChromaRadianceOptions.execute(
            model=model,
            preserve_wrapper=True,
            start_sigma=1.0,
            end_sigma=0.0,
            nerf_tile_size=-1,
            force_sequential_txt_ids=True,
        ).args[0],
        (PIXELS,),
    ),
}

"""Which models, methods, conditions and patches of the host work together: one tiny run for each cell of three tables.

Import only from tests/nodes: this needs ComfyUI. A cell holds if its run ends in finite numbers, and if both what is in
its row and what is in its column make a difference there: without one of them the picture is another. Some things must
change nothing (`SAME`), and some combinations must be refused, with a message that has a certain word.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import comfy.hooks
import comfy.model_base
import comfy.model_management
import comfy.sample
import comfy.sd
import comfy.supported_models
import comfy.utils
import comfyui_version
import latent_preview
import tiny_models
import torch
from comfy_extras import (
    nodes_apg,
    nodes_attention_multiply,
    nodes_cfg,
    nodes_differential_diffusion,
    nodes_easycache,
    nodes_eps,
    nodes_freelunch,
    nodes_fresca,
    nodes_hypertile,
    nodes_mahiro,
    nodes_model_advanced,
    nodes_model_downscale,
    nodes_nag,
    nodes_pag,
    nodes_perpneg,
    nodes_sag,
    nodes_tcfg,
    nodes_tomesd,
    nodes_video_model,
)
from joint_diffusion.core.canvas.places import shares
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.nodes.host.settings import Picture
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.windows.placed_prompts import in_places
from joint_diffusion.nodes.twin_images import TwinImages
from joint_diffusion.nodes.zoom_prompts import StackPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler
from sampling_run import POOLED, lively

CANVAS, CFG, SEED = Size(8, 16), 4.0, 1
WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4), grid=2, seed=SEED)
NO_DIFFERENCE = 1e-5


@dataclass(frozen=True)
class Asked:
    """One run: what is sampled, by which model, with which conditioning."""

    family: str = "sd15"
    model: Any = None
    method: str | None = None  # None: without the pack
    windows: WindowParams = WINDOWS
    latent: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    conditions: dict[str, Any] = field(default_factory=dict)  # of every prompt
    more: Callable[[list], list] | None = None  # the positive prompt with others
    cfg: float = CFG
    sampler: str = "euler"
    options: dict[str, Any] = field(default_factory=dict)  # of comfy.sample.sample


# Families. --------------------------------------------------------------------------------------------------------


def wan():
    """16 channels, flow model, latents of 5 dimensions (B, 16, 1, h, w), patch 2; context (B, tokens, 64)."""
    if hasattr(tiny_models, "wan"):
        return tiny_models.wan()
    config = {"image_model": "wan2.1", "model_type": "t2v", "dim": 64, "ffn_dim": 128, "num_heads": 2, "num_layers": 2}
    config |= {"text_dim": 64, "in_dim": 16, "out_dim": 16, "freq_dim": 32, "text_len": 8, "dtype": torch.float32}
    return tiny_models._transformer(comfy.supported_models.WAN21_T2V(config), comfy.model_base.WAN21, torch.float32)


FAMILIES = {
    "SD 1.5": ("sd15", (4,)),
    "SDXL": ("sdxl", (4,)),
    "SD 3": ("sd3", (16,)),
    "Flux": ("flux", (16,)),
    "Qwen-Image": ("qwen_image", (16, 1)),
    "Z-Image": ("z_image", (16,)),
    "Wan": ("wan", (16, 1)),
}
CHANNELS = dict(FAMILIES.values())
POOLED_OF = {**POOLED, "sd3": 32}


@cache
def model_of(family: str) -> Any:
    """A model of the family that listens to its prompts."""
    model = wan() if family == "wan" else getattr(tiny_models, family)()
    network = model.model.diffusion_model
    if hasattr(network, "head"):  # Wan's last layer
        with torch.no_grad():
            network.head.head.weight.mul_(30)
        return model
    return lively(model)


def latent_of(family: str, rows: int = 1) -> torch.Tensor:
    return torch.zeros(rows, *CHANNELS[family], *CANVAS)


# Methods. ---------------------------------------------------------------------------------------------------------


@cache
def vae_of(channels: int) -> Any:
    return tiny_models.vae(channels)


def picture() -> torch.Tensor:
    return torch.rand(1, 8 * CANVAS.height, 8 * CANVAS.width, 3, generator=torch.Generator().manual_seed(2))


GRADIENT = {"guidance": "gradient"}
METHODS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "MultiDiffusion": lambda asked: {},
    "moving windows": lambda asked: {"windows": replace(asked.windows, moving=True)},
    "Multi-Scale": lambda asked: {"multiscale": MultiScaleParams(scales=2)},
    "Multi-Scale, gradient": lambda asked: {"multiscale": MultiScaleParams(scales=2, weight=0.02, **GRADIENT)},
    "Sync": lambda asked: {"sync": SyncParams(weight=0.2)},
    "Sync, gradient": lambda asked: {"sync": SyncParams(weight=0.2, **GRADIENT)},
    "Twin Crop Fusion": lambda asked: {
        "crop_fusion": CropFusionParams(adjacency=0.5),
        "cross_sampling": CrossSamplingParams(),
    },
    "structure": lambda asked: {
        "picture": Picture(image=picture(), vae=vae_of(CHANNELS[asked.family][0]), strength=1.0, end=0.03)
    },
}
SAMPLERS = ("zoom stack", "twin images")


def prompt(family: str, seed: int, **conditions: Any) -> list:
    if family in POOLED_OF:
        conditions = {"pooled_output": torch.linspace(-1, 1, POOLED_OF[family])[None] * seed, **conditions}
    return tiny_models.prompt(seed, **conditions)


def sampled(asked: Asked) -> torch.Tensor:
    """What the host makes of it."""
    model = asked.model or model_of(asked.family)
    if asked.method in SAMPLERS:
        return _by_a_sampler(asked, model)
    if asked.method is not None:
        model = with_settings(model, **{"windows": asked.windows, **METHODS[asked.method](asked)})
    latent = latent_of(asked.family) if asked.latent is None else asked.latent
    positive, negative = (prompt(asked.family, seed, **asked.conditions) for seed in (1, 2))
    if asked.more is not None:
        positive = asked.more(positive)
    options = {"sigmas": sigmas_of(model), "seed": SEED, "disable_pbar": True, **asked.options}
    noise = comfy.sample.prepare_noise(latent, SEED) if asked.noise is None else asked.noise
    steps = len(options["sigmas"]) - 1
    return comfy.sample.sample(
        model, noise, steps, asked.cfg, asked.sampler, "normal", positive, negative, latent, **options
    )


def sigmas_of(model: Any) -> torch.Tensor:
    """From noise to some that is left: guidance by gradients needs that the last step keeps a part of x."""
    most = float(model.get_model_object("model_sampling").sigma_max)
    return torch.tensor([most, 0.65, 0.3] if most == 1 else [most, 2.0, 0.5])


def _by_a_sampler(asked: Asked, model: Any) -> torch.Tensor:
    how = {"seed": SEED, "steps": 2, "cfg": asked.cfg, "sampler_name": asked.sampler, "scheduler": "normal"}
    size = {"width": 64, "height": 64}
    one, two, none = (prompt(asked.family, seed, **asked.conditions) for seed in (1, 3, 2))
    if asked.method == "twin images":
        (latent,) = TwinImages.execute(
            model, positive=one, negative=none, overlap=0.5, adjacency=1.0, stop=0.5, **how, **size
        ).args
    else:
        stack = StackPrompts(levels=[one, two], negative=none, prompts=("a", "b"), zoom_factor=2)
        vae = vae_of(CHANNELS[asked.family][0])
        latent, _ = ZoomStackSampler.execute(model, stack, vae, denoise=1.0, blending="latent", **how, **size).args
    return latent["samples"]


# Conditions and options of a run. ---------------------------------------------------------------------------------

MASK = torch.linspace(-1, 1, CANVAS.width).clamp(min=0).repeat(1, CANVAS.height, 1)
HINT = torch.rand(1, 3, 8 * CANVAS.height, 8 * CANVAS.width, generator=torch.Generator().manual_seed(9))
KEPT = torch.randn(1, 4, *CANVAS, generator=torch.Generator().manual_seed(7))
Feature = Callable[[Asked], Asked]


def in_two(positive: list) -> list:
    """Two prompts side by side, as Panorama Prompts places them."""
    parts = shares(CANVAS, 1, 2, (2.0, 4.0), WINDOWS.wrap)
    return in_places([positive, tiny_models.prompt(5)], ["left", "right"], parts)


def _lora_hooks(asked: Asked, *keyframes: tuple[float, float]) -> Asked:
    weights = tiny_models.lora_weights(model_of("sd15"))
    hooks = comfy.hooks.create_hook_lora(weights, strength_model=1.0, strength_clip=0.0)
    if keyframes:
        group = comfy.hooks.HookKeyframeGroup()
        for start, strength in keyframes:
            group.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
        hooks.set_keyframes_on_hooks(group)
    return replace(asked, conditions={**asked.conditions, "hooks": hooks})


@cache
def _net() -> Any:
    return tiny_models.control_net()


def _controlled(asked: Asked, span: tuple[float, float] = (0.0, 1.0)) -> Asked:
    control = _net().copy().set_cond_hint(HINT, 0.9, span)
    return replace(asked, conditions={**asked.conditions, "control": control, "control_apply_to_uncond": True})


@cache
def _inpainting() -> Any:
    return lively(tiny_models.sd15(inpaint=True))


def _masked_prompt(**place: Any) -> Feature:
    return lambda asked: replace(
        asked, more=lambda positive: positive + tiny_models.prompt(5, **place, **asked.conditions)
    )


def _with_lora(asked: Asked) -> Asked:
    model = model_of("sd15")
    return replace(
        asked, model=comfy.sd.load_lora_for_models(model, None, tiny_models.lora_weights(model), 1.0, 0.0)[0]
    )


def _inpaint_model(asked: Asked) -> Asked:
    conditions = {"concat_latent_image": KEPT, "concat_mask": MASK[None]}
    return replace(asked, model=_inpainting(), conditions={**asked.conditions, **conditions})


def _option(**options: Any) -> Feature:
    return lambda asked: replace(asked, options={**asked.options, **options})


NOISE_MASK = (torch.arange(CANVAS.width) < 10).float().repeat(1, 1, CANVAS.height, 1)
FEATURES: dict[str, Feature] = {
    "ControlNet": _controlled,
    "ControlNet in a part of the steps": lambda asked: _controlled(asked, (0.0, 0.5)),
    "LoRA": _with_lora,
    "LoRA by hooks": _lora_hooks,
    "LoRA by hooks, scheduled": lambda asked: _lora_hooks(asked, (0.0, 1.0), (0.5, 0.2)),
    "mask": _masked_prompt(mask=MASK),
    "area": _masked_prompt(area=(8, 8, 0, 6)),
    "prompt in a part of the steps": _masked_prompt(end_percent=0.5),
    "prompts in places": lambda asked: replace(asked, more=in_two),
    "inpainting model": _inpaint_model,
    "noise mask": lambda asked: replace(_option(noise_mask=NOISE_MASK)(asked), latent=KEPT),
    "wrapping edges": lambda asked: replace(asked, windows=replace(asked.windows, wrap=Wrap(x=True))),
    "img2img": lambda asked: replace(_option(sigmas=torch.tensor([10.0, 4.0, 1.0]))(asked), latent=KEPT),
    "CFG 1": lambda asked: replace(asked, cfg=1.0),
    "CFG++": lambda asked: replace(asked, sampler="euler_cfg_pp"),
    "noise in every step": lambda asked: replace(asked, sampler="euler_ancestral"),
    "several steps remembered": lambda asked: replace(asked, sampler="dpmpp_2m"),
}


# What must change nothing: the run as it is, and as it should be the same. ------------------------------------------


def _two_rows(asked: Asked) -> torch.Tensor:
    return sampled(replace(asked, latent=latent_of(asked.family, 2)))[:1]


def _cut_in_two(asked: Asked) -> torch.Tensor:
    sigmas = sigmas_of(model_of(asked.family))
    first = sampled(_option(sigmas=sigmas[:2])(asked))
    return sampled(replace(_option(sigmas=sigmas[1:])(asked), latent=first, noise=torch.zeros_like(first)))


def _previewed(asked: Asked) -> torch.Tensor:
    shown = []
    previewer = latent_preview.Latent2RGBPreviewer(model_of(asked.family).model.latent_format.latent_rgb_factors)

    def callback(step: int, denoised: torch.Tensor, *_: Any) -> None:
        shown.append(previewer.decode_latent_to_preview(denoised).size)

    result = sampled(_option(callback=callback)(asked))
    assert shown == [(CANVAS.width, CANVAS.height)] * 2, shown
    return result


def _after_an_interrupt(asked: Asked) -> torch.Tensor:
    def callback(*_: Any) -> None:
        comfy.model_management.interrupt_current_processing()

    try:
        sampled(_option(callback=callback)(asked))
    except comfy.model_management.InterruptProcessingException:
        return sampled(asked)
    raise AssertionError("was not interrupted")


def _fetched_for_each_layer(asked: Asked) -> torch.Tensor:
    model = tiny_models.sd15()
    lively(model)
    for module in model.model.diffusion_model.modules():
        if hasattr(module, "comfy_cast_weights"):
            module.comfy_cast_weights = True  # as for a model that does not fit on the device
    return sampled(replace(asked, model=model))


def _few_at_once(asked: Asked) -> torch.Tensor:
    return sampled(replace(asked, windows=replace(asked.windows, batch=1)))


SAME: dict[str, Callable[[Asked], torch.Tensor]] = {
    "batch of two": _two_rows,
    "cut in two runs": _cut_in_two,
    "previews": _previewed,
    "after an interrupt": _after_an_interrupt,
    "one window at a time": _few_at_once,
    "weights fetched for each layer (low VRAM)": _fetched_for_each_layer,
}


@cache
def _fp8() -> Any:
    model = lively(tiny_models.sd15())
    for module in model.model.diffusion_model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.to(torch.float8_e4m3fn)
            module.comfy_cast_weights = True
    return model


FEATURES["weights in 8 bits"] = lambda asked: replace(asked, model=_fp8())


@cache
def _attentive() -> Any:
    """A model in which self-attention says as much as all else: in a random one it hardly says anything."""
    model = lively(tiny_models.sd15())
    with torch.no_grad():
        for name, weight in model.model.diffusion_model.named_parameters():
            if name.endswith(("attn1.to_out.0.weight", "attn1.to_q.weight")):
                weight.mul_(30)
    return model


# Patches of the host's own nodes. -----------------------------------------------------------------------------------

advanced = nodes_model_advanced
Patch = Callable[[Any], Any]


def _node(node: Any, *arguments: Any) -> Patch:
    def patched(model: Any) -> Any:
        result = node.execute(model, *arguments)
        return (result if isinstance(result, tuple) else result.args)[0]

    return patched


PATCHES: dict[str, Patch] = {
    "Perturbed-Attention Guidance": _node(nodes_pag.PerturbedAttentionGuidance, 3.0),
    "Self-Attention Guidance": _node(nodes_sag.SelfAttentionGuidance, 0.5, 2.0),
    "Perp-Neg": _node(nodes_perpneg.PerpNeg, tiny_models.prompt(4), 1.0),
    "Tangential Damping CFG": _node(nodes_tcfg.TCFG),
    "Adaptive Projected Guidance": _node(nodes_apg.APG, 0.5, 5.0, 0.3),
    "Mahiro CFG": _node(nodes_mahiro.Mahiro),
    "CFG-Zero*": _node(nodes_cfg.CFGZeroStar),
    "CFG Norm": _node(nodes_cfg.CFGNorm, 0.9),
    "RescaleCFG": lambda model: advanced.RescaleCFG().patch(model, 0.7)[0],
    "FreSca": _node(nodes_fresca.FreSca, 1.2, 1.3, 2),
    "Epsilon Scaling": _node(nodes_eps.EpsilonScaling, 1.05),
    "Temporal Score Rescaling": _node(nodes_eps.TemporalScoreRescaling, 0.9, 1.0),
    "FreeU": _node(nodes_freelunch.FreeU, 1.1, 1.2, 0.9, 0.2),
    "FreeU V2": _node(nodes_freelunch.FreeU_V2, 1.3, 1.4, 0.9, 0.2),
    "HyperTile": _node(nodes_hypertile.HyperTile, 32, 2, 0, False),
    "Token Merging": _node(nodes_tomesd.TomePatchModel, 0.5),
    "Kohya Deep Shrink": _node(
        nodes_model_downscale.PatchModelAddDownscale, 1, 2.0, 0.0, 0.9, True, "bicubic", "bicubic"
    ),
    "Normalized Attention Guidance": _node(nodes_nag.NAGuidance, 5.0, 0.5, 2.5),
    "LazyCache": _node(nodes_easycache.LazyCacheNode, 10.0, 0.0, 1.0, False),
    "EasyCache": _node(nodes_easycache.EasyCacheNode, 10.0, 0.0, 1.0, False),
    "UNet Self Attention Multiply": _node(nodes_attention_multiply.UNetSelfAttentionMultiply, 1.2, 1.0, 1.1, 1.3),
    "UNet Cross Attention Multiply": _node(nodes_attention_multiply.UNetCrossAttentionMultiply, 1.2, 1.0, 1.1, 1.3),
    "Model Sampling, v-prediction": lambda model: advanced.ModelSamplingDiscrete().patch(model, "v_prediction", False)[
        0
    ],
    "Video Linear CFG": lambda model: nodes_video_model.VideoLinearCFGGuidance().patch(model, 1.0)[0],
    "Differential Diffusion": _node(nodes_differential_diffusion.DifferentialDiffusion, 1.0),
}

# Cells. -------------------------------------------------------------------------------------------------------------

JOINT = [*METHODS]
PATCHED = ["MultiDiffusion", "Multi-Scale", "Sync", "Twin Crop Fusion"]
TABLES: dict[str, tuple[list[str], list[str]]] = {
    "models": ([*FAMILIES], [*JOINT, *SAMPLERS]),
    "conditions": ([*FEATURES, *SAME], JOINT),
    "patches": ([*PATCHES], PATCHED),
}
# What cannot be: why, and a word of the message that refuses it.
CANNOT: dict[tuple[str, str], tuple[str, str]] = {
    ("EasyCache", ""): ("it would take one window for the next", "result of one window for the next"),
    ("LazyCache", "Multi-Scale"): ("it would take one window for the next", "Guidance of windows cannot be combined"),
    ("LazyCache", "Sync"): ("it would take one window for the next", "Guidance of windows cannot be combined"),
    **{
        (row, column): ("a gradient would have to pass through exchanged weights", "has LoRA hooks")
        for row in ("LoRA by hooks", "LoRA by hooks, scheduled")
        for column in ("Multi-Scale, gradient", "Sync, gradient")
    },
}


YES, NO = "✓", "✗"


@dataclass(frozen=True)
class Cell:
    """One place of one table."""

    table: str
    row: str
    column: str


CELLS = [Cell(table, row, column) for table, (rows, columns) in TABLES.items() for row in rows for column in columns]


def refused(cell: Cell) -> tuple[str, str] | None:
    """Why the cell cannot be, and the word that says so."""
    return CANNOT.get((cell.row, cell.column)) or CANNOT.get((cell.row, ""))


def require(cell: Cell) -> None:
    """Run what the cell stands for.

    Raises:
        AssertionError: it does not hold.
    """
    if (why := refused(cell)) is not None:
        try:
            _run(cell)
        except (ValueError, RuntimeError) as error:
            if why[1] not in str(error):
                raise AssertionError(f"refused, but by: {error}") from error
            return
        raise AssertionError("was not refused")
    _run(cell)


def run_all() -> tuple[dict[Cell, str], str]:
    """What stands in each cell, and the version of the host. Why a cell does not hold is said on stderr."""
    comfy.utils.set_progress_bar_enabled(False)
    logging.disable(logging.WARNING)
    loaded, results = comfy.model_management.current_loaded_models, {}
    with torch.inference_mode():
        for cell in CELLS:
            loaded[:] = [model for model in loaded if model.model is not None]
            results[cell] = _answer(cell)
    return results, comfyui_version.__version__


def _answer(cell: Cell) -> str:
    try:
        require(cell)
    except Exception as error:  # whatever it is, it is in the way
        print(f"{cell}: {error!r}", file=sys.stderr)
        return NO
    why = refused(cell)
    return f"no: {why[0]}" if why else YES


def _run(cell: Cell) -> None:
    if cell.table == "models":
        asked = Asked(family=FAMILIES[cell.row][0], method=cell.column)
        _differ(sampled(asked), _reference(asked.family, None if cell.column == "MultiDiffusion" else "MultiDiffusion"))
    elif cell.row in SAME:
        result, expected = SAME[cell.row](Asked(method=cell.column)), _reference("sd15", cell.column)
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    elif cell.row in FEATURES:
        asked = FEATURES[cell.row](Asked(method=cell.column))
        result = sampled(asked)
        _differ(result, _reference("sd15", cell.column))
        _differ(result, sampled(replace(asked, method=None if cell.column == "MultiDiffusion" else "MultiDiffusion")))
    else:
        asked = Asked(method=cell.column, model=PATCHES[cell.row](model_of("sd15")))
        without = Asked(method=cell.column)
        if cell.row == "Differential Diffusion":  # of noise masks
            soft = _option(noise_mask=torch.linspace(0, 1, CANVAS.width).repeat(1, 1, CANVAS.height, 1))
            asked, without = soft(replace(asked, latent=KEPT)), soft(replace(without, latent=KEPT))
        if cell.row == "Token Merging":
            without = replace(without, model=_attentive())
            asked = replace(asked, model=PATCHES[cell.row](_attentive()))
        if cell.row in ("LazyCache", "EasyCache"):  # of later steps
            more = _option(sigmas=torch.tensor([14.6, 8.0, 4.0, 3.0, 2.0, 1.0, 0.5]))
            asked, without = more(asked), more(without)
        _differ(sampled(asked), sampled(without))


@cache
def _reference(family: str, method: str | None) -> torch.Tensor:
    return sampled(Asked(family=family, method=method))


def _differ(result: torch.Tensor, other: torch.Tensor) -> None:
    assert result.isfinite().all(), "not finite"
    if result.shape == other.shape:
        difference = float((result - other).abs().max() / other.abs().max())
        assert difference > NO_DIFFERENCE, f"makes no difference ({difference:.1g})"

"""What may take part in a run: conditions, changed models, and options; and what must change nothing."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.sd
import latent_preview
import tiny_control_nets
import tiny_models
import torch
from comfy_extras.nodes_edit_model import ReferenceLatent
from comfy_extras.nodes_model_patch import ZImageFunControlnet
from joint_diffusion.core.canvas.places import shares
from joint_diffusion.core.canvas.windows import Wrap
from joint_diffusion.nodes.host.windows.placed_prompts import in_places

from .families import FAMILIES, fresh, inpainting_model_of, model_of, picture, vae_of
from .runs import Asked, is_flow, sampled, sigmas_of

Feature = Callable[[Asked], Asked]

# ControlNets, and pictures that are shown in other ways. --------------------------------------------------------------

HINT = picture(9).movedim(-1, 1)
CONTROL_NET_OF = {
    "SD 1.5": "ControlNet",
    "SDXL": "SDXL",
    "SD 3": "SD3",
    "Flux": "Flux InstantX",
    "Qwen-Image": "Qwen InstantX",
}


@cache
def _net(kind: str) -> Any:
    return tiny_control_nets.KINDS[kind].build()


def _with_hint(kind: str, strength: float = 0.9, span: tuple[float, float] = (0.0, 1.0)) -> Any:
    _, _, vae, is_masked = tiny_control_nets.KINDS[kind]
    mask = [(HINT[:, :1] > 0.5).float()] if is_masked else []
    return _net(kind).copy().set_cond_hint(HINT, strength, span, vae=vae and vae(), extra_concat=mask)


def _controlled(kind: str, span: tuple[float, float] = (0.0, 1.0)) -> Feature:
    return lambda asked: asked.condition(control=_with_hint(kind, span=span), control_apply_to_uncond=True)


def _chained(asked: Asked) -> Asked:
    first, last = _with_hint("T2I-Adapter"), _with_hint("ControlNet", strength=0.4)
    return asked.condition(control=last.set_previous_controlnet(first), control_apply_to_uncond=True)


@cache
def _z_image_fun() -> Any:
    return tiny_control_nets.z_image_fun()


def _patched_by_z_image_fun(asked: Asked) -> Asked:
    node, model = ZImageFunControlnet(), model_of("Z-Image")
    return replace(
        asked,
        model=node.diffsynth_controlnet(model, _z_image_fun(), vae_of("Z-Image"), strength=3.0, image=picture())[0],
    )


def _control(asked: Asked, span: tuple[float, float] = (0.0, 1.0)) -> Asked:
    if asked.family == "Z-Image":
        return _patched_by_z_image_fun(asked)
    return _controlled(CONTROL_NET_OF[asked.family], span)(asked)


def _reference_latent(asked: Asked) -> Asked:
    picture_beside = {"samples": asked.of.noise(7)}
    return replace(asked, more=lambda positive: ReferenceLatent.execute(positive, picture_beside).args[0])


def _inpainting_model(asked: Asked) -> Asked:
    mask = asked.of.across(torch.linspace(-1, 1, 16).clamp(min=0))
    conditions = {
        "concat_latent_image": asked.of.noise(7),
        "concat_mask": mask.reshape(1, *_ones(asked), *mask.shape[1:]),
    }
    return replace(asked.condition(**conditions), model=inpainting_model_of(asked.family))


def _ones(asked: Asked) -> tuple[int, ...]:
    return (1,) * len(asked.of.shape)


# What is shown of a family beside its prompts: rows of a table of their own, with the family that they are for.
GUIDES: dict[str, tuple[str, Feature]] = {
    "SD 1.5: ControlNet in a part of the steps": ("SD 1.5", _controlled("ControlNet", (0.0, 0.5))),
    "SD 1.5: ControlNet after a T2I-Adapter": ("SD 1.5", _chained),
    "SD 1.5: T2I-Adapter": ("SD 1.5", _controlled("T2I-Adapter")),
    "SD 1.5: Control-LoRA": ("SD 1.5", _controlled("Control-LoRA")),
    "SDXL: ControlNet": ("SDXL", _controlled("SDXL")),
    "SD 3: ControlNet": ("SD 3", _controlled("SD3")),
    "SD 3: ControlNet for inpainting": ("SD 3", _controlled("SD3 inpainting")),
    "SD 3.5: ControlNet": ("SD 3", _controlled("SD3.5")),
    "Flux: ControlNet (InstantX)": ("Flux", _controlled("Flux InstantX")),
    "Flux: ControlNet for inpainting": ("Flux", _controlled("Flux inpainting")),
    "Flux: ControlNet Union": ("Flux", _controlled("Flux Union")),
    "Flux: ControlNet (XLabs)": ("Flux", _controlled("Flux XLabs")),
    "Flux: ControlNet (MistoLine)": ("Flux", _controlled("Flux MistoLine")),
    "Qwen-Image: ControlNet (InstantX)": ("Qwen-Image", _controlled("Qwen InstantX")),
    "Qwen-Image: ControlNet for inpainting": ("Qwen-Image", _controlled("Qwen InstantX inpainting")),
    "Qwen-Image: ControlNet (Fun)": ("Qwen-Image", _controlled("Qwen Fun")),
    "Z-Image: ControlNet (Fun)": ("Z-Image", _patched_by_z_image_fun),
    "Flux: reference latent": ("Flux", _reference_latent),
    "Qwen-Image: reference latent": ("Qwen-Image", _reference_latent),
    "Z-Image: reference latent": ("Z-Image", _reference_latent),
}

# Prompts in places, LoRAs, latents, and options of a run. -------------------------------------------------------------


def _in_two(asked: Asked) -> Asked:
    """Two prompts side by side, as Panorama Prompts places them."""
    feather = float(asked.of.cells(2)), float(asked.of.cells(4))
    parts = shares(asked.of.canvas, 1, 2, feather, asked.plan.wrap)
    return replace(asked, more=lambda positive: in_places([positive, asked.prompt(5)], ["left", "right"], parts))


def _another_prompt(**place: Any) -> Feature:
    return lambda asked: replace(asked, more=lambda positive: positive + asked.prompt(5, **place))


def _masked(asked: Asked) -> Asked:
    return _another_prompt(mask=asked.of.across(torch.linspace(-1, 1, 16).clamp(min=0)))(asked)


def _in_an_area(asked: Asked) -> Asked:
    return _another_prompt(area=tuple(asked.of.cells(eighths) for eighths in (8, 8, 0, 6)))(asked)


def _with_lora(asked: Asked) -> Asked:
    model = model_of(asked.family)
    weights = tiny_models.lora_weights(model)
    return replace(asked, model=comfy.sd.load_lora_for_models(model, None, weights, 1.0, 0.0)[0])


def _lora_hooks(asked: Asked, *keyframes: tuple[float, float]) -> Asked:
    weights = tiny_models.lora_weights(model_of(asked.family))
    hooks = comfy.hooks.create_hook_lora(weights, strength_model=1.0, strength_clip=0.0)
    if keyframes:
        group = comfy.hooks.HookKeyframeGroup()
        for start, strength in keyframes:
            group.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
        hooks.set_keyframes_on_hooks(group)
    return asked.condition(hooks=hooks)


def _noise_mask(asked: Asked) -> Asked:
    mask = asked.of.across((torch.arange(16) < 10).float())[None]
    return replace(asked.option(noise_mask=mask), latent=asked.of.noise(7))


def _img2img(asked: Asked) -> Asked:
    sigmas = [0.8, 0.5, 0.2] if is_flow(model_of(asked.family)) else [10.0, 4.0, 1.0]
    return replace(asked.option(sigmas=torch.tensor(sigmas)), latent=asked.of.noise(7))


@cache
def _fp8(family: str) -> Any:
    model = fresh(family)
    for module in model.model.diffusion_model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.to(torch.float8_e4m3fn)
            module.comfy_cast_weights = True
    return model


FEATURES: dict[str, Feature] = {
    "ControlNet": _control,
    "reference latent": _reference_latent,
    "inpainting model": _inpainting_model,
    "LoRA": _with_lora,
    "LoRA by hooks": _lora_hooks,
    "LoRA by hooks, scheduled": lambda asked: _lora_hooks(asked, (0.0, 1.0), (0.5, 0.2)),
    "mask": _masked,
    "area": _in_an_area,
    "prompt in a part of the steps": _another_prompt(end_percent=0.5),
    "prompts in places": _in_two,
    "noise mask": _noise_mask,
    "wrapping edges": lambda asked: replace(asked, windows={**asked.windows, "wrap": Wrap(x=True)}),
    "img2img": _img2img,
    "CFG 1": lambda asked: replace(asked, cfg=1.0),
    "CFG++": lambda asked: replace(asked, sampler="euler_cfg_pp"),
    "noise in every step": lambda asked: replace(asked, sampler="euler_ancestral"),
    "several steps remembered": lambda asked: replace(asked, sampler="dpmpp_2m"),
    "weights in 8 bits": lambda asked: replace(asked, model=_fp8(asked.family)),
}

# What must change nothing: how the run is made instead. ---------------------------------------------------------------


def _two_rows(asked: Asked) -> torch.Tensor:
    return sampled(replace(asked, latent=torch.zeros(2, *asked.of.shape, *asked.of.canvas)))[:1]


def _cut_in_two(asked: Asked) -> torch.Tensor:
    sigmas = sigmas_of(model_of(asked.family))
    first = sampled(asked.option(sigmas=sigmas[:2]))
    return sampled(replace(asked.option(sigmas=sigmas[1:]), latent=first, noise=torch.zeros_like(first)))


def _previewed(asked: Asked) -> torch.Tensor:
    shown, latent_format = [], model_of(asked.family).model.latent_format
    previewer = latent_preview.Latent2RGBPreviewer(latent_format.latent_rgb_factors)

    def callback(step: int, denoised: torch.Tensor, *_: Any) -> None:
        shown.append(previewer.decode_latent_to_preview(denoised).size)

    result, canvas = sampled(asked.option(callback=callback)), asked.of.canvas
    assert shown == [(canvas.width, canvas.height)] * 2, shown
    return result


def _after_an_interrupt(asked: Asked) -> torch.Tensor:
    def callback(*_: Any) -> None:
        comfy.model_management.interrupt_current_processing()

    try:
        sampled(asked.option(callback=callback))
    except comfy.model_management.InterruptProcessingException:
        return sampled(asked)
    raise AssertionError("was not interrupted")


@cache
def _cast(family: str) -> Any:
    model = fresh(family)
    for module in model.model.diffusion_model.modules():
        if hasattr(module, "comfy_cast_weights"):
            module.comfy_cast_weights = True  # as for a model that does not fit on the device
    return model


SAME: dict[str, Callable[[Asked], torch.Tensor]] = {
    "batch of two": _two_rows,
    "cut in two runs": _cut_in_two,
    "previews": _previewed,
    "after an interrupt": _after_an_interrupt,
    "one window at a time": lambda asked: sampled(replace(asked, windows={**asked.windows, "batch": 1})),
    "weights fetched for each layer (low VRAM)": lambda asked: sampled(replace(asked, model=_cast(asked.family))),
}

# What a family does not have. -----------------------------------------------------------------------------------------

WITHOUT: dict[str, tuple[list[str], str]] = {
    "ControlNet": (
        [family for family in FAMILIES if family not in (*CONTROL_NET_OF, "Z-Image")],
        "ComfyUI has none for Wan and for Chroma Radiance.",
    ),
    "reference latent": (
        [family for family in FAMILIES if family not in ("Flux", "Qwen-Image", "Z-Image")],
        "of these models only Flux, Qwen-Image and Z-Image look at one.",
    ),
    "inpainting model": (
        [name for name, family in FAMILIES.items() if family.inpainting is None],
        "ComfyUI has none of SD 3, Qwen-Image, Z-Image and Chroma Radiance that is shown a picture and a mask.",
    ),
}

"""One run of the host: what is asked of it, and what it makes of that, with each of the methods."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import comfy.sample
import torch
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.nodes.host.settings import Picture
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.twin_images import TwinImages
from joint_diffusion.nodes.zoom_prompts import StackPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler

from .families import FAMILIES, SEED, Family, model_of, picture, vae_of

CFG = 4.0


@dataclass(frozen=True)
class Asked:
    """One run: what is sampled, by which model, with which conditioning."""

    family: str = "SD 1.5"
    model: Any = None
    method: str | None = None  # None: without the pack
    windows: dict[str, Any] = field(default_factory=dict)  # what is other than in the windows of the family
    latent: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    conditions: dict[str, Any] = field(default_factory=dict)  # of every prompt
    more: Callable[[list], list] | None = None  # the positive prompt with others
    cfg: float = CFG
    sampler: str = "euler"
    options: dict[str, Any] = field(default_factory=dict)  # of comfy.sample.sample

    @property
    def of(self) -> Family:
        return FAMILIES[self.family]

    @property
    def plan(self) -> WindowParams:
        return replace(self.of.windows, **self.windows)

    def prompt(self, seed: int, **place: Any) -> list:
        return self.of.prompt(seed, **self.conditions, **place)

    def option(self, **options: Any) -> "Asked":
        return replace(self, options={**self.options, **options})

    def condition(self, **conditions: Any) -> "Asked":
        return replace(self, conditions={**self.conditions, **conditions})


GRADIENT = {"guidance": "gradient"}
METHODS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "MultiDiffusion": lambda asked: {},
    "moving windows": lambda asked: {"windows": replace(asked.plan, moving=True)},
    "Multi-Scale": lambda asked: {"multiscale": MultiScaleParams(scales=2)},
    "Multi-Scale, gradient": lambda asked: {"multiscale": MultiScaleParams(scales=2, weight=0.02, **GRADIENT)},
    "Sync": lambda asked: {"sync": SyncParams(weight=0.2)},
    "Sync, gradient": lambda asked: {"sync": SyncParams(weight=0.2, **GRADIENT)},
    "Twin Crop Fusion": lambda asked: {
        "crop_fusion": CropFusionParams(adjacency=0.5),
        "cross_sampling": CrossSamplingParams(),
    },
    "structure": lambda asked: {
        "picture": Picture(image=picture(), vae=vae_of(asked.family), strength=1.0, end=0.03)
    },
}  # fmt: skip
SAMPLERS = ("zoom stack", "twin images")


def sampled(asked: Asked) -> torch.Tensor:
    """What the host makes of it."""
    model = asked.model or model_of(asked.family)
    if asked.method in SAMPLERS:
        return _by_a_sampler(asked, model)
    if asked.method is not None:
        model = with_settings(model, **{"windows": asked.plan, **METHODS[asked.method](asked)})
    latent = torch.zeros(1, *asked.of.shape, *asked.of.canvas) if asked.latent is None else asked.latent
    positive, negative = asked.prompt(1), asked.prompt(2)
    if asked.more is not None:
        positive = asked.more(positive)
    options = {"sigmas": sigmas_of(model), "seed": SEED, "disable_pbar": True, **asked.options}
    noise = comfy.sample.prepare_noise(latent, SEED) if asked.noise is None else asked.noise
    steps = 3 if options["sigmas"] is None else len(options["sigmas"]) - 1
    return comfy.sample.sample(
        model, noise, steps, asked.cfg, asked.sampler, "normal", positive, negative, latent, **options
    )


@cache
def reference(family: str, method: str | None) -> torch.Tensor:
    """The run of a family and a method with nothing else."""
    return sampled(Asked(family=family, method=method))


def sigmas_of(model: Any) -> torch.Tensor:
    """From noise to some that is left: guidance by gradients needs that the last step keeps a part of x."""
    return torch.tensor([1.0, 0.65, 0.3] if is_flow(model) else [_most(model), 2.0, 0.5])


def is_flow(model: Any) -> bool:
    return _most(model) == 1


def _most(model: Any) -> float:
    return float(model.get_model_object("model_sampling").sigma_max)


def _by_a_sampler(asked: Asked, model: Any) -> torch.Tensor:
    how = {"seed": SEED, "steps": 2, "cfg": asked.cfg, "sampler_name": asked.sampler, "scheduler": "normal"}
    size = {"width": 64, "height": 64}
    one, two, none = asked.prompt(1), asked.prompt(3), asked.prompt(2)
    if asked.method == "twin images":
        (latent,) = TwinImages.execute(
            model, positive=one, negative=none, overlap=0.5, adjacency=1.0, stop=0.5, **how, **size
        ).args
    else:
        stack = StackPrompts(levels=[one, two], negative=none, prompts=("a", "b"), zoom_factor=2)
        vae, joined = vae_of(asked.family), {"denoise": 1.0, "blending": "latent"}
        latent, _ = ZoomStackSampler.execute(model, stack, vae, **joined, **how, **size).args
    return latent["samples"]

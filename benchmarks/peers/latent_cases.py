"""Latents that people have, each a small function that raises `Wrong` where what a pack makes of it is not right.

Models are the tests' tiny ones, with windows of 8 x 8 cells. Their answer is known (`known_answer`), so most cases ask
for the same latent as without windows, and that the network saw no view larger than a window.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from sampling_run import run
from torch import Tensor

from .givens import (
    AREA,
    MASK,
    Prompts,
    hinted,
    inpainting_model,
    latent_of,
    lora_hooks,
    model_of,
    prompt_of,
    prompts,
    with_another,
)
from .known_answer import KnownAnswer
from .verdicts import NotSupported, Views, Wrong, as_in_a_graph, cancelled, no_memory, once, same, through_windows
from .ways import SIDE, Sampler

STRIP, CANVAS = (SIDE, 4 * SIDE), (2 * SIDE, 3 * SIDE)  # (height, width)

OF_LATENTS: dict[str, Callable[[Sampler], None]] = {}


def of_latents(name: str) -> Callable:
    """Register a case."""
    return lambda case: OF_LATENTS.setdefault(name, case)


def same_as_plain(
    way: Sampler,
    *,
    family: str = "sd15",
    cells: tuple[int, int] = STRIP,
    batch: int = 1,
    prompts: Prompts | None = None,
    latent: Tensor | None = None,
    model: ModelPatcher | None = None,
    patched: ModelPatcher | None = None,
    before: Callable[[int], object] | None = None,
    **options: Any,
) -> None:
    """One run as people make it must give what sampling without windows gives, and must have gone through windows.

    Raises:
        Wrong: it does not.
    """
    if way.one_axis and cells[0] > SIDE:
        raise NotSupported("windows along one axis only")
    model = model_of(family) if model is None else model
    asked = prompts or (lambda: (prompt_of(family, 1), prompt_of(family, 2)))
    latent = latent_of(family, cells, batch) if latent is None else latent
    with KnownAnswer(model) as network:
        expected = run(model, latent, prompt=asked(), **options)
        network.seen.clear()
        network.before = before
        found = run(patched or way.patched(model), latent, prompt=asked(), **options)
    through_windows(network.seen, way, cells)
    same(found, expected)


def in_two(way: Sampler, whole: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> None:
    """Raises `Wrong` where two runs, by one node and one after the other, give another latent than one without windows.

    Each is given by options of the sampling.
    """
    latent, model = latent_of("sd15", STRIP), model_of("sd15")
    patched = way.patched(model)
    with KnownAnswer(model):
        expected = run(model, latent, prompt=prompts(), **whole)
        half = run(patched, latent, prompt=prompts(), **first)
        same(run(patched, half, noise=torch.zeros_like(half), prompt=prompts(), **second), expected)


@of_latents("a strip of 4 windows")
def strip(way: Sampler) -> None:
    same_as_plain(way)


@of_latents("a canvas of 2 x 3 windows")
def canvas(way: Sampler) -> None:
    same_as_plain(way, cells=CANVAS)


@of_latents("sides that are no multiples of the window")
def other_sides(way: Sampler) -> None:
    same_as_plain(way, cells=(SIDE, 30))
    if not way.one_axis:
        same_as_plain(way, cells=(13, 22))


@of_latents("an odd number of cells")
def odd_sides(way: Sampler) -> None:
    same_as_plain(way, cells=(SIDE, 29))


@of_latents("a canvas smaller than the window")
def small(way: Sampler) -> None:
    same_as_plain(way, cells=(6, 6))


@of_latents("a canvas no wider than the overlap")
def narrow(way: Sampler) -> None:
    same_as_plain(way, cells=(6, SIDE // 2))


@of_latents("edges that wrap")
def wrapping(way: Sampler) -> None:
    if way.wrapped is None:
        raise NotSupported("no input for edges that meet")
    latent, model = latent_of("sd15", STRIP), model_of("sd15")
    noise = comfy.sample.prepare_noise(latent, 1)
    other = noise.clone()
    other[..., -1] += 1  # more steps would be needed to come to the left edge from there through the canvas
    patched, views = way.wrapped(model), Views(model)
    with views:
        one, two = (run(patched, latent, noise=start, prompt=prompts()) for start in (noise, other))
    through_windows(views.seen, way, STRIP)
    if not (one - two)[..., 0].abs().max() > 1e-5 * one.abs().max():
        raise Wrong("what changes at the right edge changes nothing at the left edge")


@of_latents("a batch of two")
def batch(way: Sampler) -> None:
    same_as_plain(way, batch=2)


@of_latents("a batch of two, a prompt each")
def batch_of_prompts(way: Sampler) -> None:
    same_as_plain(way, batch=2, prompts=lambda: prompts(batch=2))


@of_latents("CFG 1")
def no_guidance(way: Sampler) -> None:
    same_as_plain(way, cfg=1.0)


@of_latents("a negative prompt of another length")
def lengths(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: (prompt_of("sd15", 1), prompt_of("sd15", 2, tokens=16)))


@of_latents("two prompts combined")
def combined(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: with_another())


@of_latents("a prompt in a part of the steps")
def scheduled(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: with_another(start_percent=0.0, end_percent=0.5))


@of_latents("a prompt for an area")
def area(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: with_another(**AREA, area=(SIDE, 12, 0, 6)))


@of_latents("a prompt for a mask")
def mask(way: Sampler) -> None:
    soft = torch.linspace(-1, 1, STRIP[1]).clamp(min=0).repeat(1, STRIP[0], 1)
    same_as_plain(way, prompts=lambda: with_another(**MASK, mask=soft))


@of_latents("a noise mask")
def noise_mask(way: Sampler) -> None:
    kept = torch.randn(1, 4, *STRIP, generator=torch.Generator().manual_seed(7))
    painted = (torch.arange(STRIP[1]) < 10).float().repeat(1, 1, STRIP[0], 1)
    same_as_plain(way, latent=kept, noise_mask=painted)


@of_latents("img2img")
def img2img(way: Sampler) -> None:
    kept = torch.randn(1, 4, *STRIP, generator=torch.Generator().manual_seed(7))
    same_as_plain(way, latent=kept, sigmas=torch.tensor([4.0, 2.0, 1.0, 0.0]))


@of_latents("a ControlNet")
def control(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: hinted(STRIP))


@of_latents("a ControlNet, a batch of two")
def control_of_batch(way: Sampler) -> None:
    same_as_plain(way, batch=2, prompts=lambda: hinted(STRIP))


@of_latents("two ControlNets, one in a part of the steps")
def controls(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: hinted(STRIP, (0.0, 0.5), more=True))


@of_latents("an inpainting model")
def inpainting(way: Sampler) -> None:
    generator = torch.Generator().manual_seed(7)
    kept, painted = torch.randn(1, 4, *STRIP, generator=generator), torch.rand(1, 1, *STRIP, generator=generator)
    concat: dict[str, Any] = {"concat_latent_image": kept, "concat_mask": painted}
    same_as_plain(way, model=inpainting_model(), prompts=lambda: prompts(**concat))


@of_latents("a LoRA by hooks with keyframes")
def lora(way: Sampler) -> None:
    same_as_plain(way, prompts=lambda: prompts(hooks=lora_hooks()))


@of_latents("heun, which asks twice a step")
def second_order(way: Sampler) -> None:
    same_as_plain(way, sampler="heun")


@of_latents("euler_cfg_pp, which wants both predictions")
def both_predictions(way: Sampler) -> None:
    same_as_plain(way, sampler="euler_cfg_pp", cfg=0.6)


@of_latents("a run cut in two, KSampler (Advanced)")
def advanced(way: Sampler) -> None:
    first, second = {"last_step": 2}, {"start_step": 2, "disable_noise": True}
    in_two(way, {"steps": 4}, {"steps": 4, **first}, {"steps": 4, **second})


@of_latents("a run cut in two, SplitSigmas")
def split(way: Sampler) -> None:
    sigmas = torch.tensor([14.6, 8.0, 4.0, 2.0, 0.5])
    in_two(way, {"sigmas": sigmas}, {"sigmas": sigmas[:3]}, {"sigmas": sigmas[2:]})


@of_latents("a preview in every step")
def preview(way: Sampler) -> None:
    shown: list[torch.Size] = []
    same_as_plain(way, callback=lambda _step, denoised, *_: shown.append(denoised.shape))
    if set(shown) != {(1, 4, *STRIP)}:
        raise Wrong(f"previews have the shapes {sorted(map(tuple, set(shown)))}")


@of_latents("memory that runs out once")
def out_of_memory(way: Sampler) -> None:
    same_as_plain(way, before=once(no_memory))


@of_latents("interrupted, and run again")
def interrupted(way: Sampler) -> None:
    latent, model = latent_of("sd15", STRIP), model_of("sd15")
    patched = way.patched(model)
    with KnownAnswer(model) as network:
        expected = run(model, latent, prompt=prompts())
        network.before = once(comfy.model_management.interrupt_current_processing, at=3)
        cancelled(lambda: run(patched, latent, prompt=prompts(), callback=as_in_a_graph))
        network.before = None
        same(run(patched, latent, prompt=prompts()), expected)


@of_latents("two runs of other sizes, by one node")
def two_sizes(way: Sampler) -> None:
    model = model_of("sd15")
    patched = way.patched(model)
    for cells, steps in ((STRIP, 3), ((SIDE, 24), 5), (STRIP if way.one_axis else CANVAS, 2)):
        same_as_plain(way, cells=cells, steps=steps, patched=patched)


def _family(name: str, family: str) -> None:
    """A case of a strip by another model."""

    @of_latents(name)
    def of_family(way: Sampler) -> None:
        same_as_plain(way, family=family)


_family("SDXL", "sdxl")
_family("SD 3", "sd3")
_family("Flux", "flux")
_family("Z-Image", "z_image")
_family("Qwen-Image, latents of 5 dimensions", "qwen_image")
_family("Wan, a film of 3 frames", "wan")

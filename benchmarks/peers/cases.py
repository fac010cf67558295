"""Inputs that people have, each a small function that raises `Wrong` where what a pack makes of it is not right.

Models are the tests' tiny ones, with windows of 8 x 8 cells. Their answer is known (`known_answer`), so most cases ask
for the same latent as without windows, and that the network saw no view larger than a window. Import only after
`host.start_host`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.sample
import tiny_models
import torch
from comfy.ldm.modules.diffusionmodules.model import AttnBlock
from comfy.model_management import InterruptProcessingException
from comfy.model_patcher import ModelPatcher
from sampling_run import lively, run
from torch import Tensor

from .known_answer import KnownAnswer

SIDE = 8  # of a window in cells
STRIP, CANVAS = (SIDE, 4 * SIDE), (2 * SIDE, 3 * SIDE)  # (height, width)
TOLERANCE = 1e-3  # of the largest value: sums in another order
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


class Wrong(Exception):
    """A run that ended well, but its result is not right; what is wrong with it."""


class NotSupported(Exception):
    """What cannot be asked for: there is no setting."""


@dataclass(frozen=True)
class Sampler:
    """A way to sample a latent through windows of `SIDE` cells that overlap by half, or move."""

    name: str
    patched: Callable[[ModelPatcher], ModelPatcher]
    wrapped: Callable[[ModelPatcher], ModelPatcher] | None = None  # left and right edge meet; None: it cannot be set
    one_axis: bool = False  # windows are as high as the latent


@dataclass(frozen=True)
class Enlarger:
    """A way to make a picture larger, or to refine it, through windows of `SIDE` cells."""

    name: str
    enlarge: Callable[..., Tensor]
    """(model, vae, image (B, H, W, 3), prompts, by, cfg, wrap) -> (B, by H, by W, 3)."""
    wraps: bool


OF_LATENTS: dict[str, Callable[[Sampler], None]] = {}
OF_PICTURES: dict[str, Callable[[Enlarger], None]] = {}


def of_latents(name: str) -> Callable:
    """Register a case of a latent."""
    return lambda case: OF_LATENTS.setdefault(name, case)


def of_pictures(name: str) -> Callable:
    """Register a case of a picture."""
    return lambda case: OF_PICTURES.setdefault(name, case)


# Latents. -----------------------------------------------------------------------------------------------------------


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
def no_memory(way: Sampler) -> None:
    same_as_plain(way, before=once(_no_memory))


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


# Pictures. ------------------------------------------------------------------------------------------------------------


@of_pictures("a picture of 80 x 48 pixels")
def picture(way: Enlarger) -> None:
    enlarged(way)


@of_pictures("sides that are no multiples of a cell")
def odd_picture(way: Enlarger) -> None:
    enlarged(way, size=(45, 83))


@of_pictures("a picture smaller than the window")
def small_picture(way: Enlarger) -> None:
    enlarged(way, size=(24, 28))


@of_pictures("1.5 times as large")
def by_half(way: Enlarger) -> None:
    enlarged(way, by=1.5)


@of_pictures("a picture with an alpha channel")
def alpha(way: Enlarger) -> None:
    colours = enlarged(way)
    same(enlarged(way, image=torch.cat([image_of((48, 80)), torch.ones(1, 48, 80, 1)], -1))[..., :3], colours)


@of_pictures("a batch of two pictures")
def batch_of_pictures(way: Enlarger) -> None:
    two = torch.cat([image_of((48, 80)), image_of((48, 80)).flip(2)])
    same(enlarged(way, image=two)[:1], enlarged(way), at_most=0.02)  # 8 bits in between round


@of_pictures("edges of a picture that wrap")
def wrapping_picture(way: Enlarger) -> None:
    if not way.wraps:
        raise NotSupported("no input for edges that meet")
    image, other = image_of((48, 96)), image_of((48, 96))
    other[:, :, -8:] = 1 - other[:, :, -8:]
    change = (enlarged(way, image=image, wrap=True) - enlarged(way, image=other, wrap=True)).abs()
    if not change[:, :, :8].mean() > 3 * change[:, :, 72:88].mean():
        raise Wrong("what changes at the right edge changes the left edge no more than the middle")


@of_pictures("a picture, CFG 1")
def picture_without_guidance(way: Enlarger) -> None:
    enlarged(way, cfg=1.0)


@of_pictures("a picture, a prompt for an area")
def area_of_picture(way: Enlarger) -> None:
    def right(seed: int) -> Prompts:
        return lambda: (
            prompt_of("sd15", 1) + prompt_of("sd15", seed, **AREA, area=(12, 8, 0, 12)),
            prompt_of("sd15", 2),
        )

    only_on_the_right(way, right(5), right(6))


@of_pictures("a picture, a prompt for a mask")
def mask_of_picture(way: Enlarger) -> None:
    place = (torch.arange(160) >= 96).float().repeat(1, 96, 1)

    def right(seed: int) -> Prompts:
        return lambda: (prompt_of("sd15", 1) + prompt_of("sd15", seed, **MASK, mask=place), prompt_of("sd15", 2))

    only_on_the_right(way, right(5), right(6))


@of_pictures("a picture, a ControlNet")
def control_of_picture(way: Enlarger) -> None:
    only_on_the_right(way, lambda: hinted((12, 20)), lambda: hinted((12, 20), other_from=12))


@of_pictures("a picture, a LoRA by hooks with keyframes")
def lora_of_picture(way: Enlarger) -> None:
    without = enlarged(way)
    if not (enlarged(way, prompts=lambda: prompts(hooks=lora_hooks())) - without).abs().max() > TOLERANCE:
        raise Wrong("the LoRA makes no difference")


@of_pictures("a picture, memory that runs out once")
def no_memory_for_picture(way: Enlarger) -> None:
    same(enlarged(way, before=once(_no_memory)), enlarged(way), at_most=0.02)


@of_pictures("a picture, interrupted, and again")
def interrupted_picture(way: Enlarger) -> None:
    expected = enlarged(way)
    cancelled(lambda: enlarged(way, before=once(comfy.model_management.interrupt_current_processing, at=3)))
    same(enlarged(way), expected)


def _picture_family(name: str, family: str) -> None:
    """A case of a picture by another model."""

    @of_pictures(name)
    def of_family(way: Enlarger) -> None:
        enlarged(way, family=family)


_picture_family("a picture, SDXL", "sdxl")
_picture_family("a picture, Flux", "flux")
_picture_family("a picture, Qwen-Image", "qwen_image")


# What the cases share. ------------------------------------------------------------------------------------------------


class Views(KnownAnswer):
    """Sees what the network is asked about, and leaves its answer as it is."""

    def _answer(self, *_: Any) -> None:
        return None


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


def through_windows(seen: list[tuple[int, int]], way: Sampler | None, cells: tuple[int, int]) -> None:
    """Every view was at most as large as a window.

    Raises:
        Wrong: one was larger, or there was none.
    """
    most = (cells[0] if way and way.one_axis else SIDE, SIDE)
    larger = [view for view in seen if view[0] > most[0] or view[1] > most[1]]
    if larger:
        raise Wrong(f"windows ignored: the model saw {larger[0][1]} x {larger[0][0]} cells at once")
    if not seen:
        raise Wrong("the model was not asked")


def same(found: Tensor, expected: Tensor, at_most: float = TOLERANCE) -> None:
    """Raises `Wrong` where the two differ by more than a part of the largest value."""
    if found.shape != expected.shape:
        raise Wrong(f"its shape is {tuple(found.shape)}, not {tuple(expected.shape)}")
    if not found.isfinite().all():
        raise Wrong("not finite")
    difference = float((found - expected).abs().max() / expected.abs().max())
    if difference > at_most:
        raise Wrong(f"differs from what it should be by {100 * difference:.2g} % of the largest value")


def enlarged(
    way: Enlarger,
    *,
    family: str = "sd15",
    size: tuple[int, int] = (48, 80),
    image: Tensor | None = None,
    prompts: Prompts | None = None,
    by: float = 2,
    cfg: float = 4.0,
    wrap: bool = False,
    vae: Any = None,
    before: Callable[[int], object] | None = None,
) -> Tensor:
    """A picture of (height, width) pixels made larger.

    Raises:
        Wrong: it is not, or not through windows.
    """
    image = image_of(size) if image is None else image
    model, asked = model_of(family), prompts or (lambda: (prompt_of(family, 1), prompt_of(family, 2)))
    with KnownAnswer(model, before) as network:
        found = way.enlarge(model, vae or vae_of(family), image.clone(), asked(), by, cfg, wrap)
    through_windows(network.seen, None, STRIP)
    wanted = (len(image), round(image.shape[1] * by), round(image.shape[2] * by), 3)
    if found.shape != wanted:
        raise Wrong(f"the picture has the shape {tuple(found.shape)}, not {wanted}")
    if not found.isfinite().all():
        raise Wrong("not finite")
    return found


def only_on_the_right(way: Enlarger, one: Prompts, other: Prompts) -> None:
    """Raises `Wrong` where two things that differ from cell 12 of 20 on change more than the right of the picture."""
    pictures = [enlarged(way, prompts=asked, vae=local_vae()) for asked in (one, other)]
    change = (pictures[0] - pictures[1]).abs()
    left, right = float(change[:, :, :48].mean()), float(change[:, :, -48:].mean())
    if not right > TOLERANCE:
        raise Wrong("what changes on the right of it changes nothing there")
    if left > right / 3:
        raise Wrong("what changes on the right of it changes the left, too")


def cancelled(start: Callable[[], object]) -> None:
    """Raises `Wrong` where a run that was cancelled went on to its end."""
    try:
        start()
    except InterruptProcessingException:
        return
    raise Wrong("went on to its end after Cancel")


def as_in_a_graph(*_: Any) -> None:
    """What the host does after each step of a run in a graph."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def once(strike: Callable[[], object], at: int = 0) -> Callable[[int], None]:
    """To be called before every call of the network: strikes once, before the call of this number or later."""
    left = [strike]

    def before(calls: int) -> None:
        if calls >= at and left:
            left.pop()()

    return before


def _no_memory() -> None:
    raise torch.OutOfMemoryError("no memory just now")


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

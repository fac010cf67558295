"""Pictures that people have and want larger, each a small function as in `latent_cases`.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from .givens import (
    AREA,
    MASK,
    Prompts,
    hinted,
    image_of,
    local_vae,
    lora_hooks,
    model_of,
    prompt_of,
    prompts,
    vae_of,
)
from .known_answer import KnownAnswer
from .verdicts import TOLERANCE, NotSupported, Wrong, cancelled, no_memory, once, same, through_windows
from .ways import SIDE, Enlarger

OF_PICTURES: dict[str, Callable[[Enlarger], None]] = {}


def of_pictures(name: str) -> Callable:
    """Register a case."""
    return lambda case: OF_PICTURES.setdefault(name, case)


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
    through_windows(network.seen, None, (SIDE, SIDE))
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
def out_of_memory_for_picture(way: Enlarger) -> None:
    same(enlarged(way, before=once(no_memory)), enlarged(way), at_most=0.02)


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

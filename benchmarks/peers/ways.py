"""What a pack offers for the cases: ways through windows.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher
from torch import Tensor

SIDE = 8  # of a window in cells


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

"""What joint sampling cannot be combined with, refused before the first step. All raise a ValueError with a way out."""

import itertools
from typing import Any

from comfy.samplers import CFGGuider
from torch import Tensor

from .carriers import patches_of


def refuse_what_cannot_be_windowed(guider: CFGGuider, options: dict[str, Any], noise: Tensor) -> None:
    """Sound, several latents at once, and windows of the host."""
    streams = getattr(guider.inner_model, "latent_shapes", None) or [noise.shape]  # before ComfyUI 0.33 there is none
    if noise.ndim not in (4, 5) or len(streams) > 1:
        what = (
            "several streams at once (such as video with audio)" if len(streams) > 1 else "no picture (such as sound)"
        )
        raise ValueError(
            f"Panorama Windows needs a latent that is one picture or one video; this model samples {what}, in latents "
            f"of shape {' and '.join(str(tuple(shape)) for shape in streams)}. Remove the node for this model."
        )
    if options.get("context_handler") is not None:
        raise ValueError(
            "Panorama Windows and Context Windows both cut the latent into windows and cannot be combined. "
            "Remove one of the two nodes."
        )


def refuse_caches(options: dict[str, Any], guided: bool) -> None:
    """EasyCache would take one window for the next; LazyCache sees canvases, but in guided steps windows as well."""
    cache = getattr(options["transformer_options"].get("easycache"), "name", None)
    if cache == "EasyCache" or (cache == "LazyCache" and guided):
        other = "Use LazyCache, which sees whole canvases, or remove" if not guided else "Remove"
        raise ValueError(
            f"{'Guidance of windows' if guided else 'Panorama Windows'} cannot be combined with {cache}, which would "
            f"reuse the result of one window for the next. {other} the cache node."
        )


def refuse_kept_references(options: dict[str, Any]) -> None:
    """Flux KV Cache would show every window what it has kept of the first one's part of a reference."""
    if any(type(patch).__name__ == "KV_Attn_Input" for patch in patches_of(options)):
        raise ValueError(
            "Panorama Windows cannot be combined with Flux KV Cache where a reference latent is as large as the "
            "canvas: each window sees its own part of it, and the cache would keep that of the first window for all. "
            "Remove Flux KV Cache."
        )


def refuse_rising(levels: list[float]) -> None:
    """Guidance by gradients where the noise rises."""
    if any(after > before for before, after in itertools.pairwise(levels)):
        raise ValueError(
            "sigmas: guidance needs noise levels that fall from step to step, and these rise (as for unsampling). "
            "Remove Multi-Scale Guidance and Sync Guidance for this sampler, or flip the sigmas."
        )

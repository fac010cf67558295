"""Prompts in places of a canvas: how they become one CONDITIONING, and where a CONDITIONING reaches."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import comfy.samplers
import torch
from torch import Tensor

from ....core.canvas.places import Reach
from ....core.canvas.windows import Size, canvas_size
from .spatial import Placement

PROMPT = "joint_diffusion_prompt"  # in a conditioning: (number, text) of the prompt, for people
CPU = torch.device("cpu")
# What `in_places` turns into masks and parts of the sampling.
REPLACED = (
    "area",
    "strength",
    "mask",
    "mask_strength",
    "set_area_to_bounds",
    "default",
    "start_percent",
    "end_percent",
)

Span = tuple[float, float]  # from, to: parts of the sampling, 0..1


class _Entry(NamedTuple):
    """One of the entries of a prompt."""

    tensor: Tensor
    options: dict[str, Any]
    span: Span
    weights: Tensor  # (rows, H, W), before those of the others are known


def in_places(prompts: Sequence[list], names: Sequence[str], shares: Tensor) -> list:
    """One CONDITIONING in which each prompt counts in its place.

    ComfyUI weighs the predictions of several entries by their masks and divides by the sum of the masks. So the masks
    are the shares. A prompt can itself have several entries (masks, areas, strengths, schedules). They divide the share
    of their place as they divide a whole picture, at every part of the sampling.

    Args:
        prompts: N CONDITIONINGs.
        names: N texts for people.
        shares: (N, H, W), how much of each cell belongs to each place.

    Raises:
        ValueError: a prompt is off for a part of the sampling in which another is on.
    """
    spans = [[_span(options) for _, options in prompt] for prompt in prompts]
    times = sorted({time for place in spans for limits in place for time in limits})
    _require_no_gap(spans, times, names)
    return [
        entry
        for number, (prompt, name, share) in enumerate(zip(prompts, names, shares, strict=True), start=1)
        for entry in _in_place(prompt, share[None], {PROMPT: (number, name)})
    ]


def reach_of(conditioning: list, canvas: Size) -> list[Reach]:
    """Where each prompt of a CONDITIONING counts on a canvas; entries of one prompt of `in_places` are one."""
    found: dict[tuple[int, str], Tensor] = {}
    entries = [options for _, options in conditioning]
    for number, (entry, own) in enumerate(zip(entries, _own_weights(entries, canvas), strict=True), start=1):
        key = entry.get(PROMPT, (number, f"prompt {number}"))
        weights = own.amax(0)
        found[key] = torch.maximum(found[key], weights) if key in found else weights
    return [Reach(name, weights) for (_, name), weights in found.items()]


def _in_place(prompt: list, share: Tensor, label: dict[str, Any]) -> list:
    """The entries of one prompt with masks that add up to `share` (1, H, W), wherever and whenever one of them is on.

    On the border of two spans exactly, ComfyUI runs the entries of both. A gap in between would be worse: there would
    be no prompt at all.
    """
    own = _own_weights([options for _, options in prompt], canvas_size(share))
    entries = [
        _Entry(tensor, options, _span(options), weights) for (tensor, options), weights in zip(prompt, own, strict=True)
    ]
    placed = []
    for start, end in pairwise(sorted({time for entry in entries for time in entry.span})):
        on = [entry for entry in entries if entry.span[0] <= start and end <= entry.span[1]]
        if not on:  # and so everywhere, see `_require_no_gap`
            continue
        weights = _with_defaults([entry.weights for entry in on], [entry.options for entry in on])
        total = sum(weights, torch.zeros_like(share))
        limits = {} if (start, end) == (0.0, 1.0) else {"start_percent": start, "end_percent": end}
        for entry, weight in zip(on, weights, strict=True):
            mask = share * torch.where(total > 0, weight / total, 0.0)
            kept = {key: value for key, value in entry.options.items() if key not in REPLACED}
            placed.append([entry.tensor, {**kept, **limits, "mask": mask, **label}])
    return placed


def _own_weights(entries: Sequence[dict[str, Any]], canvas: Size) -> list[Tensor]:
    """What each entry brings along, (rows, H, W): its mask and area times its strengths."""
    resolved, placement = [*entries], Placement(canvas)
    comfy.samplers.resolve_areas_and_cond_masks_multidim(resolved, tuple(canvas), CPU)
    weights = []
    for entry in resolved:
        mask = placement.mask(entry, tuple(canvas), CPU, canvas)
        mask = torch.ones(1, *canvas) if mask is None else mask
        weights.append(
            mask * entry.get("strength", 1.0) * (entry.get("mask_strength", 1.0) if "mask" in entry else 1.0)
        )
    return weights


def _with_defaults(weights: list[Tensor], entries: Sequence[dict[str, Any]]) -> list[Tensor]:
    """Default entries fill what the others leave of 1, as in ComfyUI."""
    others = [own for own, entry in zip(weights, entries, strict=True) if "default" not in entry]
    left = (1 - sum(others, torch.zeros_like(weights[0]))).clamp(min=0)
    return [left if "default" in entry else own for own, entry in zip(weights, entries, strict=True)]


def _span(options: dict[str, Any]) -> Span:
    """When an entry is on. A text encoder with a schedule of its own sets the limits that begin with clip."""
    return (
        max(options.get("start_percent", 0.0), options.get("clip_start_percent", 0.0)),
        min(options.get("end_percent", 1.0), options.get("clip_end_percent", 1.0)),
    )


def _require_no_gap(spans: Sequence[Sequence[Span]], times: Sequence[float], names: Sequence[str]) -> None:
    for start, end in pairwise(times):
        off = [not any(begun <= start and end <= ended for begun, ended in place) for place in spans]
        if any(off) and not all(off):
            place = off.index(True)
            raise ValueError(
                f"places: place {place + 1} ({names[place]}) has no prompt from {start:g} to {end:g} of the sampling, "
                "but others have, so nothing would be painted there; add one for that time with Conditioning "
                "(Combine), or give all places one schedule."
            )

"""A prompt for each level of a zoom stack: marked, told apart, and stacked row by row.

The conditioning of all levels travels as one list whose entries say which level they are for. So everything that
encodes, cuts or repeats conditioning does so as ever: guiders of other packs, regional prompts, Panorama Windows. Only
the last step before the model puts rows and prompts together, see `level_batches`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy.conds import CONDConstant, CONDRegular
from torch import Tensor

from ..conds import Conds, Entry
from ..settings import LEVEL

# What ComfyUI reads of an entry besides its model conds: rows may share a call where these are the same ...
SAME_VALUE = ("area", "strength", "mask_strength", "timestep_start", "timestep_end", "default")
SAME_OBJECT = ("hooks", "control", "gligen")  # ... and these the very same.


def of_all_levels(levels: Sequence[list]) -> list:
    """One CONDITIONING of the conditionings of all levels, for a model with `LevelBatches`.

    Raises:
        ValueError: a level has a ControlNet that also applies to the negative prompt, which all levels share.
    """
    for number, conditioning in enumerate(levels):
        if any(options.get("control_apply_to_uncond") for _, options in conditioning):
            raise ValueError(
                f"levels: level {number} has a ControlNet by Apply ControlNet (OLD), which would also apply to the "
                "negative prompt of all other levels; use Apply ControlNet."
            )
    return [[tensor, {**options, LEVEL: level}] for level, entries in enumerate(levels) for tensor, options in entries]


def of_level(conds: Conds, level: int) -> list[list[Entry] | None]:
    """The entries for one level; those that name none are for every level."""
    return [None if entries is None else [e for e in entries if e.get(LEVEL, level) == level] for entries in conds]


def can_share(some: Conds, others: Conds) -> bool:
    """Whether rows of these two levels can be stacked for one call."""
    for ours, theirs in zip(some, others, strict=True):
        if len(ours or ()) != len(theirs or ()):
            return False
        if not all(a is b or _stackable(a, b) for a, b in zip(ours or (), theirs or (), strict=True)):
            return False
    return True


def _stackable(a: Entry, b: Entry) -> bool:
    masks = [None if (mask := entry.get("mask")) is None else mask.shape[1:] for entry in (a, b)]
    return (
        all(a.get(key) == b.get(key) for key in SAME_VALUE)
        and all(a.get(key) is b.get(key) for key in SAME_OBJECT)
        and masks[0] == masks[1]
        and a["model_conds"].keys() == b["model_conds"].keys()
        and all(value.can_concat(b["model_conds"][key]) for key, value in a["model_conds"].items())
    )


def stacked(by_level: Sequence[Conds], rows: Sequence[int], total: int) -> list[list[Entry] | None]:
    """The conds for these rows of `total`, their levels' entries stacked row by row."""
    chosen = [by_level[row % len(by_level)] for row in rows]
    return [
        None if lists[0] is None else [_stack(entries, rows, total) for entries in zip(*lists, strict=True)]
        for lists in zip(*chosen, strict=True)
    ]


def _stack(entries: Sequence[Entry], rows: Sequence[int], total: int) -> Entry:
    stacked: dict[str, Any] = {**entries[0], "model_conds": _stack_values([e["model_conds"] for e in entries], rows)}
    if stacked.get("mask") is not None:
        stacked["mask"] = torch.cat([_row(entry["mask"], row) for entry, row in zip(entries, rows, strict=True)])
    if stacked.get("control") is not None and len(rows) < total:
        stacked["control"] = _control_of_rows(stacked["control"], rows)
    return stacked


def _stack_values(values: Sequence[Mapping[str, CONDRegular]], rows: Sequence[int]) -> dict[str, CONDRegular]:
    stacked = {}
    for key, first in values[0].items():
        parts = [_of_row(value[key], row) for value, row in zip(values, rows, strict=True)]
        stacked[key] = first._copy_with(parts[0].concat(parts[1:]))
    return stacked


def _of_row(value: CONDRegular, row: int) -> CONDRegular:
    if isinstance(value, CONDConstant):
        return value
    tensors = value.cond
    part = [_row(tensor, row) for tensor in tensors] if isinstance(tensors, list) else _row(tensors, row)
    return value._copy_with(part)


def _row(tensor: Tensor, row: int) -> Tensor:
    """(1, ...): what ComfyUI gives to a row when it repeats a tensor to the size of the batch."""
    return tensor[row % len(tensor)][None]


def _control_of_rows(control, rows: Sequence[int]):
    if hasattr(control, "of_rows"):  # a ControlNet on windows knows which of its views they are
        return control.of_rows(rows)
    net = control
    while net is not None:
        if net.cond_hint_original is not None and len(net.cond_hint_original) > 1:
            raise ValueError(
                "levels: a ControlNet has several hint images, one for each row of a batch, but memory or the prompts "
                "do not allow all levels in one model call; give each level an Apply ControlNet of its own."
            )
        net = net.previous_controlnet
    return control

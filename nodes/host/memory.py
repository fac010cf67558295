"""Whether a model call fits into the memory that is free now, by the host's own estimate."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from comfy.model_base import BaseModel

# What the host itself keeps free when it decides whether conds go into one batch.
HEADROOM = 1.5


def fits(
    model: BaseModel,
    entries: Iterable[dict[str, Any]],
    shape: Sequence[int],
    device: torch.device,
    times: float = 1.0,
) -> bool:
    """Whether memory holds a prediction of rows of this shape (rows, C, ..., h, w) for each entry of the conditioning.

    `times` is how many times more than a prediction the call needs.
    """
    entries = list(entries)
    shapes: dict[str, list[Any]] = {}
    for entry in entries:
        for key, value in entry["model_conds"].items():
            # Of each row: the host repeats the conditioning for every one.
            shapes.setdefault(key, []).append([shape[0], *list(value.size())[1:]])
    needed = model.memory_required([shape[0] * len(entries), *shape[1:]], cond_shapes=shapes)
    return needed * HEADROOM * times < model.current_patcher.get_free_memory(device)

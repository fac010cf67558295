"""How many rows go into one model call: what memory holds, and less once it has run out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import comfy.model_management
import torch
from comfy.model_base import BaseModel

T = TypeVar("T")

# What the host itself keeps free when it decides whether conds go into one batch.
HEADROOM = 1.5


def sizes(entry: dict[str, Any]) -> dict[str, list[int]]:
    """The size of each model cond of an entry of the conditioning, as ComfyUI states it."""
    return {key: list(value.size()) for key, value in entry["model_conds"].items()}


def fits(
    model: BaseModel,
    conditioning: Iterable[Mapping[str, list[int]]],
    shape: Sequence[int],
    device: torch.device,
    times: float = 1.0,
) -> bool:
    """Whether memory holds a prediction of rows of this shape (rows, C, ..., h, w) for each entry of the conditioning.

    By the host's own estimate. `conditioning` has the `sizes` of each entry; `times` is how many times more than a
    prediction the call needs.
    """
    entries = list(conditioning)
    shapes: dict[str, list[Any]] = {}
    for entry in entries:
        for key, size in entry.items():
            # Of each row: the host repeats the conditioning for every one.
            shapes.setdefault(key, []).append([shape[0], *size[1:]])
    needed = model.memory_required([shape[0] * len(entries), *shape[1:]], cond_shapes=shapes)
    return needed * HEADROOM * times < model.current_patcher.get_free_memory(device)


class BatchSize:
    """The size of the batches of one run. It is halved, for the rest of the run, whenever memory runs out."""

    def __init__(self):
        self._most: int | None = None

    def fitting(self, count: int, fits: Callable[[int], bool]) -> int:
        """`count`, or the half, the quarter, ... of it that `fits` in memory; at least 1."""
        count = min(count, self._most or count)
        while count > 1 and not fits(count):
            count = -(-count // 2)
        return count

    def attempt(self, call: Callable[[int], T], size: int) -> T:
        """`call(size)`. It is called again with half the size each time memory runs out, but not below 1."""
        while True:
            try:
                return call(size)
            except Exception as error:
                if size == 1 or not comfy.model_management.is_oom(error):
                    raise
            # Out here, where no traceback keeps the memory of the failed attempt.
            comfy.model_management.soft_empty_cache()
            self._most = size = max(size // 2, 1)

"""The rows of a zoom stack, each with the prompts of its level, in as few model calls as memory allows."""

from collections.abc import Sequence
from functools import partial

import comfy.model_management
import torch
from torch import Tensor

from ..conds import Conds
from ..memory import BatchSize, fits, sizes
from .level_prompts import can_share, of_level, stacked


class LevelBatches:
    """CALC_COND_BATCH wrapper: every row of x gets the prompts of its level, as many rows at once as memory holds.

    Row r belongs to level r % N: x is the stack, or window-major views of it. Levels whose conditioning cannot share
    a call (token lengths of transformers, other ControlNets, other LoRA hooks) are called one after another. Lives for
    one run.
    """

    def __init__(self, levels: int):
        """`levels` is N."""
        self._levels = levels
        self._batches = BatchSize()

    def __call__(self, executor, model, conds: Conds, x: Tensor, timestep: Tensor, model_options) -> list[Tensor]:
        """Predictions for x, one for each list of conds."""
        by_level = [of_level(conds, level) for level in range(self._levels)]
        of_row: dict[int, list[Tensor]] = {}  # one for each list of conds

        def in_batches_of(size: int, rows: list[int]) -> None:
            for start in range(0, len(rows), size):
                comfy.model_management.throw_exception_if_processing_interrupted()
                some = rows[start : start + size]
                # Not `x[some]`: a list of indices is copied to the device, and that waits for it.
                views, sigmas = (torch.stack([tensor[row] for row in some]) for tensor in (x, timestep))
                outputs = executor(model, stacked(by_level, some, len(x)), views, sigmas, model_options)
                for place, row in enumerate(some):
                    of_row[row] = [output[place] for output in outputs]

        for group in _alike(by_level):
            rows = [row for row in range(len(x)) if row % self._levels in group]
            self._batches.attempt(partial(in_batches_of, rows=rows), self._batch_size(model, by_level, x, rows))
        return [torch.stack([of_row[row][number] for row in range(len(x))]) for number in range(len(conds))]

    def _batch_size(self, model, by_level: Sequence[Conds], x: Tensor, rows: list[int]) -> int:
        needed = [sizes(entry) for entries in stacked(by_level, rows[:1], len(x)) for entry in entries or ()]
        return self._batches.fitting(len(rows), lambda count: fits(model, needed, (count, *x.shape[1:]), x.device))


def _alike(by_level: Sequence[Conds]) -> list[list[int]]:
    """The levels in groups that may share a call."""
    groups: list[list[int]] = []
    for level, conds in enumerate(by_level):
        group = next((group for group in groups if can_share(by_level[group[0]], conds)), None)
        if group is None:
            groups.append([level])
        else:
            group.append(level)
    return groups

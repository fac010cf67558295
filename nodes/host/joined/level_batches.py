"""The rows of a zoom stack, each with the prompts of its level, in as few model calls as memory allows."""

from collections.abc import Sequence

import comfy.model_management
import torch
from torch import Tensor

from ..memory import fits
from .level_prompts import Conds, can_share, of_level, stacked


class LevelBatches:
    """CALC_COND_BATCH wrapper: every row of x gets the prompts of its level, as many rows at once as memory holds.

    Row r belongs to level r % N: x is the stack, or window-major views of it. Levels whose conditioning cannot share
    a call (token lengths of transformers, other ControlNets, other LoRA hooks) are called one after another. Lives for
    one run.
    """

    def __init__(self, levels: int):
        """`levels` is N."""
        self._levels = levels
        self._most: int | None = None  # rows in a call, after memory ran out

    def __call__(self, executor, model, conds: Conds, x: Tensor, timestep: Tensor, model_options) -> list[Tensor]:
        """Predictions for x, one for each list of conds."""
        by_level = [of_level(conds, level) for level in range(self._levels)]
        found: dict[int, tuple[Tensor, ...]] = {}
        for group in _alike(by_level):
            rows = [row for row in range(len(x)) if row % self._levels in group]
            while rows:
                chosen = rows[: self._batch_size(model, stacked(by_level, rows[:1], len(x)), x, len(rows))]
                outputs = self._predict(executor, model, by_level, x, timestep, model_options, chosen)
                if outputs is None:
                    continue
                found |= zip(chosen, zip(*outputs, strict=True), strict=True)
                rows = rows[len(chosen) :]
        return [torch.stack(of_conds) for of_conds in zip(*(found[row] for row in range(len(x))), strict=True)]

    def _predict(self, executor, model, by_level, x, timestep, model_options, rows: list[int]) -> list[Tensor] | None:
        """None where memory ran out; the next attempt is half as large."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        try:
            # Not `x[rows]`: a list of indices is copied to the device, and that waits for it.
            views, sigmas = (torch.stack([tensor[row] for row in rows]) for tensor in (x, timestep))
            return executor(model, stacked(by_level, rows, len(x)), views, sigmas, model_options)
        except Exception as error:
            if len(rows) == 1 or not comfy.model_management.is_oom(error):
                raise
        # Out here, where no traceback keeps the memory of the failed attempt.
        comfy.model_management.soft_empty_cache()
        self._most = len(rows) // 2
        return None

    def _batch_size(self, model, conds: Conds, x: Tensor, rows: int) -> int:
        count = min(rows, self._most or rows)
        entries = [entry for entries in conds for entry in entries or ()]
        while count > 1 and not fits(model, entries, (count, *x.shape[1:]), x.device):
            count = -(-count // 2)
        return count


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

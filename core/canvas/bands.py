"""Fusing a canvas from top to bottom: what is done leaves, so memory holds one row of windows and not the canvas."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .fusion import axis_weights, fusion_precision
from .windows import Size, Window, add_to


def fuse_in_bands(canvas: Size, windows: Sequence[Window], view: Callable[[Window], Tensor]) -> Iterator[Tensor]:
    """The average of all views by feathered weights: bands (..., rows, W) from top to bottom, in `fusion_precision`.

    Rows of windows that cross a wrapping edge are a part of the first band too. They are fused first, and kept.

    Args:
        canvas: size of the whole.
        windows: a plan of `plan_windows` without offset for it, in the same unit.
        view: the view (..., height, width) of a window; called once for each.
    """
    tops, lefts = (sorted({window[axis] for window in windows}) for axis in (0, 1))
    height, width = windows[0].size
    down, along = _shares(tops, height, canvas.height), _shares(lefts, width, canvas.width)

    def fused_row(top: int) -> Tensor:
        fused = torch.empty(0)
        for left in lefts:
            part = view(Window(top, left, height, width))
            if left == lefts[0]:
                fused = part.new_zeros((*part.shape[:-1], canvas.width), dtype=fusion_precision(part))
            add_to(fused, [part * along[left].to(fused)], [Window(0, left, height, width)])
        return fused.mul_(down[top].to(fused)[:, None])

    crossing: dict[int, Tensor] = {}
    pending: Tensor | None = None  # what rows of windows so far add to the rows of pixels below
    for top in tops:
        if (inside := canvas.height - top) < height:
            whole = fused_row(top)
            crossing[top], beyond = whole[..., :inside, :], whole[..., inside:, :]
            if pending is not None:
                beyond[..., : pending.shape[-2], :] += pending
            pending = beyond
    for top, below in pairwise([*tops, canvas.height]):
        fused = crossing.pop(top) if top in crossing else fused_row(top)
        if pending is not None:
            fused[..., : pending.shape[-2], :] += pending
        # Copied, so that the rest of these rows is free while the next are decoded.
        band, pending = fused[..., : below - top, :], fused[..., below - top :, :].clone()
        del fused
        yield band
        del band


def _shares(starts: Sequence[int], length: int, side: int) -> dict[int, Tensor]:
    """Along one axis, by the start of a window, how much each of its positions counts; at every place the sum is 1."""
    weights = axis_weights("feathered", length).double()
    places = {start: torch.arange(start, start + length) % side for start in starts}
    total = weights.new_zeros(side)
    for covered in places.values():
        total.index_add_(0, covered, weights)
    return {start: weights / total[covered] for start, covered in places.items()}

"""What is asked of a run: the right result, through windows, and its end when it is cancelled.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import torch
from comfy.model_management import InterruptProcessingException
from torch import Tensor

from .known_answer import KnownAnswer
from .ways import SIDE, Sampler

TOLERANCE = 1e-3  # of the largest value: sums in another order


class Wrong(Exception):
    """A run that ended well, but its result is not right; what is wrong with it."""


class NotSupported(Exception):
    """What cannot be asked for: there is no setting."""


class Views(KnownAnswer):
    """Sees what the network is asked about, and leaves its answer as it is."""

    def _answer(self, *_: Any) -> None:
        return None


def through_windows(seen: list[tuple[int, int]], way: Sampler | None, cells: tuple[int, int]) -> None:
    """Every view was at most as large as a window.

    Raises:
        Wrong: one was larger, or there was none.
    """
    most = (cells[0] if way and way.one_axis else SIDE, SIDE)
    larger = [view for view in seen if view[0] > most[0] or view[1] > most[1]]
    if larger:
        raise Wrong(f"windows ignored: the model saw {larger[0][1]} x {larger[0][0]} cells at once")
    if not seen:
        raise Wrong("the model was not asked")


def same(found: Tensor, expected: Tensor, at_most: float = TOLERANCE) -> None:
    """Raises `Wrong` where the two differ by more than a part of the largest value."""
    if found.shape != expected.shape:
        raise Wrong(f"its shape is {tuple(found.shape)}, not {tuple(expected.shape)}")
    if not found.isfinite().all():
        raise Wrong("not finite")
    difference = float((found - expected).abs().max() / expected.abs().max())
    if difference > at_most:
        raise Wrong(f"differs from what it should be by {100 * difference:.2g} % of the largest value")


def cancelled(start: Callable[[], object]) -> None:
    """Raises `Wrong` where a run that was cancelled went on to its end."""
    try:
        start()
    except InterruptProcessingException:
        return
    raise Wrong("went on to its end after Cancel")


def as_in_a_graph(*_: Any) -> None:
    """What the host does after each step of a run in a graph."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def once(strike: Callable[[], object], at: int = 0) -> Callable[[int], None]:
    """To be called before every call of the network: strikes once, before the call of this number or later."""
    left = [strike]

    def before(calls: int) -> None:
        if calls >= at and left:
            left.pop()()

    return before


def no_memory() -> None:
    raise torch.OutOfMemoryError("no memory just now")

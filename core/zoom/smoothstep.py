"""The smoothstep function: a soft transition from 0 to 1."""

from typing import TypeVar

from torch import Tensor

Number = TypeVar("Number", float, Tensor)


def smoothstep(t: Number) -> Number:
    """3 t^2 - 2 t^3 for t in 0..1: rises from 0 to 1, with slope 0 at both ends."""
    return t * t * (3 - 2 * t)

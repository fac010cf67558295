"""Corrections: functions that change the denoised canvas before the sampler steps with it.

The papers shift a view and denoise it again. A correction needs no second evaluation of the model and does not depend
on the sampler. Its strength depends on the noise level alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Correction = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class RollOff:
    """A strength: 1 at high noise, 0 at low noise, and between them half a cosine over the logarithm of the noise."""

    full: float  # `Step.noise` above which the strength is 1
    none: float  # `Step.noise` below which it is 0; 0 < none < full

    def __post_init__(self) -> None:
        if not 0 < self.none < self.full < math.inf:
            raise ValueError(f"none, full: must be 0 < none < full < infinity, got {self.none} and {self.full}.")

    def at(self, noise: float) -> float:
        """The strength, 0..1, at a value of `Step.noise`."""
        if noise >= self.full:
            return 1.0
        if noise <= self.none:
            return 0.0
        part = math.log(noise / self.none) / math.log(self.full / self.none)
        return (1 - math.cos(math.pi * part)) / 2


def in_turn(corrections: list[Correction]) -> Correction | None:
    """One correction that applies all of them in this order; None if there are none."""
    if not corrections:
        return None

    def correct(denoised: Tensor) -> Tensor:
        for correction in corrections:
            denoised = correction(denoised)
        return denoised

    return correct

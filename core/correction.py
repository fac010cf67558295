"""Corrections: what a method changes in the denoised canvas before the sampler steps with it.

The papers move a window and look at it again. A correction looks once and changes what the model said: a function from
canvas to canvas that knows nothing of the sampler. How strongly it acts depends on the noise level alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Correction = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class RollOff:
    """Full strength at high noise, none at low noise; half a cosine over the logarithm of the noise in between.

    Attributes:
        full: noise over picture (`Step.noise`) above which the strength is 1.
        none: below which it is 0; 0 < none < full.
    """

    full: float = 1.0
    none: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.none < self.full < math.inf:
            raise ValueError(f"roll-off: must be 0 < none < full, got none {self.none} and full {self.full}.")

    def at(self, noise: float) -> float:
        """The strength at this noise over picture, 0..1."""
        if noise >= self.full:
            return 1.0
        if noise <= self.none:
            return 0.0
        part = math.log(noise / self.none) / math.log(self.full / self.none)
        return (1 - math.cos(math.pi * part)) / 2


def in_turn(corrections: list[Correction]) -> Correction | None:
    """One correction after the other; None where there is none."""
    if not corrections:
        return None

    def correct(denoised: Tensor) -> Tensor:
        for correction in corrections:
            denoised = correction(denoised)
        return denoised

    return correct

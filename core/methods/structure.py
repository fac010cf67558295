"""Enlarging a picture at any noise level: the canvas keeps the structure of the picture, the model adds detail.

The correction is that of Multi-Scale Diffusion (`multiscale.projection`). The picture itself, encoded, is the coarsest
canvas, so the model is asked about one canvas less. With w = 1 the result, made smaller again, is the picture: that is
the range-null-space decomposition of DDNM (Wang, Yu and Zhang, ICLR 2023, Eq. 6) with average pooling as its operator.
"""

from dataclasses import dataclass
from math import ceil, log2

from ..canvas.windows import Size
from ..correction import RollOff
from ..step import Step
from .multiscale import FACTOR, MOST_SCALES, ROLL_OFF, scale_sizes


@dataclass(frozen=True, kw_only=True)
class StructureParams:
    """How closely a canvas follows a picture.

    Attributes:
        scales: resolutions from the canvas down to the picture, 2..4, each half of the one before: 2 for a picture of
            half the size of the canvas.
        strength: 0 (not at all) to 1.
        roll_off: where in the sampling the strength falls. Held longer, it prints the grid of latent cells.
    """

    scales: int = 2
    strength: float = 1.0
    roll_off: RollOff = ROLL_OFF

    def __post_init__(self) -> None:
        if not 2 <= self.scales <= MOST_SCALES:
            raise ValueError(f"scales: must be in 2..{MOST_SCALES}, got {self.scales}.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"structure: must be in 0..1, got {self.strength}.")

    def strength_at(self, step: Step) -> float:
        """The strength in this step, 0..1."""
        return self.strength * self.roll_off.at(step.noise)

    def picture_size(self, canvas: Size) -> Size:
        """The size in latent cells that the picture must have for this canvas."""
        return scale_sizes(canvas, self.scales)[-1]


def scales_for(enlargement: float) -> int:
    """The number of scales at which a picture is not enlarged before it is followed: 2 for 1..2, 3 for 2..4, 4 above.

    Raises:
        ValueError: an enlargement below 1 or above 8.
    """
    if not 1 <= enlargement <= FACTOR ** (MOST_SCALES - 1):
        raise ValueError(f"upscale_by: must be in 1..{FACTOR ** (MOST_SCALES - 1)}, got {enlargement:g}.")
    return 1 + max(1, ceil(log2(enlargement) - 1e-9))

"""Good or bad: a measure of a panorama beside the same measure of true pictures.

Even a picture that was never cut into windows has no seam energy of exactly 1, because of what it shows: a horizon, the
edge of a wood. So each number is judged by true pictures: panoramas of the bundled model's world that are drawn in one
piece, then encoded and decoded. `python -m benchmarks.figures.true_pictures` measures them.
"""

from typing import Literal, NamedTuple

Verdict = Literal["good", "fair", "bad"]


class Usual(NamedTuple):
    """What a measure is for true pictures."""

    most: float  # 95 of 100 are below
    all: float  # none is above

    def verdict(self, measured: float) -> Verdict:
        """Good: 95 of 100 true pictures are no better. Fair: some true pictures are as bad. Bad: none is."""
        if measured <= self.most:
            return "good"
        return "fair" if measured <= self.all else "bad"


# Of benchmarks/results/true-pictures.csv, rounded up.
SEAM_ENERGY = Usual(1.09, 1.13)
WORST_SEAM = Usual(2.28, 3.92)
WRAP_ERROR = Usual(1.33, 3.92)
PALETTE_DISTANCE = Usual(0.086, 0.089)
STYLE_DISTANCE = Usual(0.37, 0.39)

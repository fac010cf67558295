"""Twin images, the single mode of TwinDiffusion: two pictures that overlap, the second aligned with the first.

Zhou and Tang, ECAI 2024, section 4.1 and Fig. 3. The pictures are I1, I2 and I2*, the aligned I2. The noise of I1 and
I2 satisfies M_r z1 = M_l z2, and I2* starts like I2. In the first steps of the sampler, Crop Fusion (Eq. 4-6) follows
each step Phi of I2*. On the overlap, where x1 is the right part of I1, this is

    x*' = (x1' + lambda Phi(x*)) / (1 + lambda)

The code follows the difference e = x* - x1. Phi, the step x' = r x + (1 - r) D, is linear in x and D, so

    e' = mu (r e + (1 - r) (D* - D1)),   mu = lambda / (1 + lambda)

The sampler steps u = e / mu^k, where k is the number of fusions so far, and gets the prediction (D* - D1) / mu^k. Its
own step then gives the line above for any r. The model gets x* = x1 + mu^k u. Some samplers (dpm_2, dpm_fast,
dpm_adaptive, seeds_2) ask for predictions between two steps. There k is a fraction: Crop Fusion in continuous time. An
effective prediction for x*, as in `multidiffusion.predict_jointly`, would be equal for first-order samplers, but fails
for these.
"""

from dataclasses import dataclass

from torch import Tensor

from .twindiffusion import CropFusionParams

SMALLEST = 1e-30  # least mu^(k/2): u must stay in the range of float32


CROP_FUSION = CropFusionParams()


@dataclass(frozen=True, kw_only=True)
class TwinImages:
    """The three pictures I1, I2, I2* and the three rows that the sampler steps, (3, C, ..., H, W) each.

    Rows are the pictures, except for the left part of I2*, where they have u (see above). Its noise is 0, because I1
    and I2* have the same noise.

    Attributes:
        overlap: width of the overlap of I1 (right part) with I2 and I2* (left part) in latent cells, >= 1.
        crop_fusion: lambda and tau.
        fixed_reference: the paper's stress test: the second term of Eq. 4 refers to I2 instead of I2*. So
            x*' = (x1' + lambda x2') / (1 + lambda) on the overlap and x2' elsewhere. This can be applied to the
            predictions and the noise, so rows are the pictures.
    """

    overlap: int
    crop_fusion: CropFusionParams = CROP_FUSION
    fixed_reference: bool = False

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise ValueError(f"overlap: must be at least 1 latent cell, got {self.overlap}.")

    def noise(self, noise: Tensor) -> Tensor:
        """Independent noise to the noise of the rows, for the start and for every step; the overlap gets that of I1."""
        rows = noise.clone()
        self._left(rows[1])[:] = self._right(rows[0])
        rows[2] = rows[1]
        if not self.fixed_reference:
            self._left(rows[2])[:] = 0
        return rows

    def pictures(self, rows: Tensor, done: float, steps: int) -> Tensor:
        """Rows to pictures after `done` of the steps, 0..steps; between two steps `done` is a fraction."""
        if self.fixed_reference:
            return rows
        pictures = rows.clone()
        self._left(pictures[2])[:] = self._right(rows[0]) + self._scale(done, steps) * self._left(rows[2])
        return pictures

    def rows(self, denoised: Tensor, done: float, steps: int) -> Tensor:
        """Predictions for the pictures to predictions for the rows; `done` and `steps` as in `pictures`."""
        rows = denoised.clone()
        if not self.fixed_reference:
            self._left(rows[2])[:] = (self._left(denoised[2]) - self._right(denoised[0])) / self._scale(done, steps)
        elif done < self.fusions(steps):
            rows[2] = denoised[1]
            lam = self.crop_fusion.adjacency
            self._left(rows[2])[:] = (self._right(denoised[0]) + lam * self._left(denoised[1])) / (1 + lam)
        return rows

    def fusions(self, steps: int) -> int:
        """The number of steps with Crop Fusion: those that start before the part tau of all steps."""
        return sum(index / steps < self.crop_fusion.stop for index in range(steps))

    def _scale(self, done: float, steps: int) -> float:
        """mu^k divided by its value at half of the fusions, which doubles the number of fusions that float32 allows.

        Raises:
            ValueError: lambda is too small for so many fusions.
        """
        count = self.fusions(steps)
        lam = self.crop_fusion.adjacency
        mu = lam / (1 + lam)
        if mu ** (count / 2) < SMALLEST:
            raise ValueError(
                f"adjacency (lambda): {lam} in {count} steps makes the difference between the pictures too small for "
                "float32 numbers; choose a larger lambda or fewer steps, or stop earlier."
            )
        return mu ** (min(done, count) - count / 2)

    def _left(self, picture: Tensor) -> Tensor:
        return picture[..., : self.overlap]

    def _right(self, picture: Tensor) -> Tensor:
        return picture[..., -self.overlap :]

"""Twin images, the single mode of TwinDiffusion: two pictures that overlap, and the second aligned with the first.

Zhou and Tang, ECAI 2024, section 4.1 and Fig. 3. The noise of I1 and I2 satisfies M_r z1 = M_l z2; I2* starts as I2
does, and Crop Fusion (Eq. 4-6) follows each of its first steps Phi: on the overlap, with x1 the right part of I1,

    x*' = (x1' + lambda Phi(x*)) / (1 + lambda)

Seen from I1 that is simple. Phi, a sampler's step x' = r x + (1 - r) D, is linear in x and D, so the difference
e = x* - x1 takes the same step, and is then made smaller:

    e' = mu (r e + (1 - r) (D* - D1)),   mu = lambda / (1 + lambda)

So the sampler gets u = e / mu^k after k fusions in the place of x*, and the prediction (D* - D1) / mu^k. Its step
u' = r u + (1 - r) D_u is the line above, whatever r is, and the model is shown x* = x1 + mu^k u. Where a sampler asks
between two steps k is a fraction, which is Crop Fusion in continuous time.

The alternative is an effective prediction for x* itself, as for guided windows (`multidiffusion.predict_jointly`):
D_eff = (D1 + lambda D*) / (1 + lambda) + r / (1 - r) (x1 - x*) / (1 + lambda). It needs the r of every step, equals
this for first-order samplers, and is lost on those that ask between steps (dpm_2, dpm_fast, dpm_adaptive, seeds_2).
"""

from dataclasses import dataclass

from torch import Tensor

from .twindiffusion import CropFusionParams

CROP_FUSION = CropFusionParams()
SMALLEST = 1e-30  # of mu^(k/2), so that what samplers reckon with, e / mu^k, stays within the range of float32


@dataclass(frozen=True, kw_only=True)
class TwinImages:
    """How three pictures I1, I2, I2* (3, C, ..., H, W) depend on one another.

    Rows are what a sampler steps: the pictures themselves, but for the left part of I2*, where u is (see above). Of
    noise u has none, as I1 and I2* share it.

    Attributes:
        overlap: columns that the right part of I1 shares with the left parts of I2 and I2*, in latent cells, >= 1.
        crop_fusion: lambda and tau.
        fixed_reference: the stress test of the paper. The second term of Eq. 4 holds I2* to I2, which is not aligned,
            instead of to itself: x*' = (x1' + lambda x2') / (1 + lambda) on the overlap, x2' elsewhere. That has no
            memory, so it holds for x if it holds for the predictions and the noise, and rows are pictures.
    """

    overlap: int
    crop_fusion: CropFusionParams = CROP_FUSION
    fixed_reference: bool = False

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise ValueError(f"overlap: must be at least 1 latent cell, got {self.overlap}.")

    def noise(self, noise: Tensor) -> Tensor:
        """Rows of noise, before the first step or in it, of independent noise: I1's counts where pictures meet."""
        rows = noise.clone()
        self._left(rows[1])[:] = self._right(rows[0])
        rows[2] = rows[1]
        if not self.fixed_reference:
            self._left(rows[2])[:] = 0
        return rows

    def pictures(self, rows: Tensor, done: float, steps: int) -> Tensor:
        """The pictures of rows after `done` of the steps, 0..steps; a fraction between two steps."""
        if self.fixed_reference:
            return rows
        pictures = rows.clone()
        self._left(pictures[2])[:] = self._right(rows[0]) + self._scale(done, steps) * self._left(rows[2])
        return pictures

    def rows(self, denoised: Tensor, done: float, steps: int) -> Tensor:
        """The predictions with which to step rows, of those for the pictures; `done` and `steps` as in `pictures`."""
        rows = denoised.clone()
        if not self.fixed_reference:
            self._left(rows[2])[:] = (self._left(denoised[2]) - self._right(denoised[0])) / self._scale(done, steps)
        elif done < self.fusions(steps):
            rows[2] = denoised[1]
            lam = self.crop_fusion.adjacency
            self._left(rows[2])[:] = (self._right(denoised[0]) + lam * self._left(denoised[1])) / (1 + lam)
        return rows

    def fusions(self, steps: int) -> int:
        """The number of steps that Crop Fusion follows: those of which less than tau is done before."""
        return sum(index / steps < self.crop_fusion.stop for index in range(steps))

    def _scale(self, done: float, steps: int) -> float:
        """mu^k, divided by its value half way: so twice as many fusions fit into the range of numbers."""
        count = self.fusions(steps)
        lam = self.crop_fusion.adjacency
        mu = lam / (1 + lam)
        if mu ** (count / 2) < SMALLEST:
            raise ValueError(
                f"lambda: {lam} in {count} steps makes the difference between the pictures smaller than numbers can "
                "be; choose a larger lambda or fewer steps, or stop earlier."
            )
        return mu ** (min(done, count) - count / 2)

    def _left(self, picture: Tensor) -> Tensor:
        return picture[..., : self.overlap]

    def _right(self, picture: Tensor) -> Tensor:
        return picture[..., -self.overlap :]

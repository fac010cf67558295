"""A step of a sampler, as the methods see it: noise level, progress, and what the step keeps of x."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a sampler.

    How strongly a method acts depends on the noise level alone, never on the number of the step. So a run that was cut
    in two gives the picture of the whole run, and 8 steps are guided like 50.

    Attributes:
        sigma: noise level of x.
        kept: r, the factor of x in the step x' = r x + b D, 0 <= r <= 1; sigma_next / sigma for Euler. 1 is a step that
            goes nowhere. Only guidance by gradients needs it.
        index, count: number of the step, from 0, and of all steps; for messages only.
        flow: whether x = (1 - sigma) x0 + sigma n (flow models) or x = x0 + sigma n (all others).
        span: noise levels at the start and the end of the step; None means sigma and kept * sigma (Euler).
    """

    sigma: float
    kept: float = 0.0
    index: int = 0
    count: int = 1
    flow: bool = False
    span: tuple[float, float] | None = None

    @property
    def noise(self) -> float:
        """Standard deviation of the noise divided by the factor of x0: 0 (clean) to infinity (noise only)."""
        picture = signal(self.sigma, self.flow)
        return self.sigma / picture if picture > 0 else math.inf

    @property
    def progress(self) -> float:
        """How much of the sampling is done: 0 (noise only) to 1 (clean).

        This is the time of the cosine schedule (Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic
        Models", 2021, Eq. 17). There noise and x0 have the sine and the cosine of an angle that falls linearly.
        The papers' (T - t) / T is another number: in the middle of Stable Diffusion's timesteps, at sigma 1.6, this is
        0.35.
        """
        return 1 - math.atan(self.noise) / (math.pi / 2)

    @property
    def shift_kept(self) -> float:
        """r / b for the step x' = r x + b D: the factor of the shifts in `predict_jointly`.

        b follows from r. Without noise, x = a x0 and D = x0 with a = `signal` at the start of the step, and the step
        must give x' = a' x0 with a' = `signal` at its end. So b = a' - r a. This is 1 - r, except for flow models with
        samplers that add noise.

        Raises:
            ValueError: `kept` is not in 0 <= r < 1.
        """
        if not 0 <= self.kept < 1:
            raise ValueError(f"kept: a denoising step keeps a part of x in [0, 1), got {self.kept}.")
        start, end = self.span or (self.sigma, self.kept * self.sigma)
        taken = signal(end, self.flow) - self.kept * signal(start, self.flow)
        return self.kept / taken if self.kept else 0.0  # r = 0 comes first: a step to pure noise has b = 0 as well

    def __str__(self) -> str:
        return f"step {self.index + 1} of {self.count} (sigma {self.sigma:.4g})"


def signal(sigma: float, flow: bool) -> float:
    """The factor of x0 in x at this noise level."""
    return 1 - sigma if flow else 1.0


def step_at(levels: Sequence[float], sigma: float) -> int:
    """The step that an evaluation at `sigma` belongs to: the last one that begins at or above it.

    At or below it where the noise rises (unsampling). `levels` are the noise levels at which the steps begin, and the
    one at which the last step ends. Samplers compute in different precisions, so levels may differ by 1e-4.
    """
    sign = 1 if levels[-1] <= levels[0] else -1
    begun = (step for step, level in enumerate(levels[:-1]) if sign * (level - sigma) >= -1e-4 * sigma)
    return max(begun, default=0)


def noise_level_key(sigma: float) -> str:
    """A text that seeds the random choices of a step: 4 digits of its noise level.

    It is the same for noise levels that differ by rounding only, unless they lie on either side of such a digit.
    """
    return f"{sigma:.3e}"

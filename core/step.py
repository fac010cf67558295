"""Where in the sampling a prediction is asked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a sampler.

    What a method does depends on the noise level alone, never on the number of a step: so a run that was cut in two is
    the whole run, and 8 steps are guided as 50 are.

    Attributes:
        sigma: noise level of x.
        kept: the part of x that the sampler's step keeps, 0 <= r < 1; sigma_next / sigma for Euler. Only guidance by
            gradients needs it.
        index, count: which step of how many, for messages.
        flow: whether x = (1 - sigma) x0 + sigma n (flow models) rather than x0 + sigma n.
        span: noise levels at which the step starts and ends; None where it starts at sigma and is Euler's.
    """

    sigma: float
    kept: float = 0.0
    index: int = 0
    count: int = 1
    flow: bool = False
    span: tuple[float, float] | None = None

    @property
    def noise(self) -> float:
        """Standard deviation of the noise over the factor of the picture: 0 (clean) to infinity (nothing but noise)."""
        picture = signal(self.sigma, self.flow)
        return self.sigma / picture if picture > 0 else math.inf

    @property
    def progress(self) -> float:
        """How much of the way from noise to picture is done: 0 (nothing but noise) to 1 (clean).

        It is the time of the cosine schedule (Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models",
        2021, Eq. 17), in which noise and picture are the sine and the cosine of an angle that falls evenly.
        """
        return 1 - math.atan(self.noise) / (math.pi / 2)

    @property
    def shift_kept(self) -> float:
        """r / b: how much of a window's shift the effective prediction must carry (`predict_jointly`).

        b is the factor of D in a step x' = r x + b D (apart from noise): 1 - r, but for stochastic samplers of flow
        models. A step leaves a picture without noise as it is, which in x stands with the factor `signal`: so b is
        signal' - r signal.
        """
        if not 0 <= self.kept < 1:
            raise ValueError(f"kept: a denoising step keeps a part of x in [0, 1), got {self.kept}.")
        start, end = self.span or (self.sigma, self.kept * self.sigma)
        taken = signal(end, self.flow) - self.kept * signal(start, self.flow)
        return self.kept / taken if self.kept else 0.0  # also of a step to pure noise, of which b is 0

    def __str__(self) -> str:
        return f"step {self.index + 1} of {self.count} (sigma {self.sigma:.4g})"


def signal(sigma: float, flow: bool) -> float:
    """The factor with which the picture stands in x at this noise level."""
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
    """The same text for noise levels that differ by rounding only: what seeds a lot that is drawn for a step."""
    return f"{sigma:.3e}"

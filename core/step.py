"""Where in the sampling a prediction is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a sampler.

    Attributes:
        sigma: noise level of x.
        kept: the part of x that the sampler's step keeps, 0 <= r < 1; sigma_next / sigma for Euler.
        index: steps done so far, 0 <= index < count.
        count: all steps.
        flow: whether x = (1 - sigma) x0 + sigma n (flow models) rather than x0 + sigma n.
        span: noise levels at which the step starts and ends; None where it starts at sigma and is Euler's.
    """

    sigma: float
    kept: float
    index: int
    count: int
    flow: bool = False
    span: tuple[float, float] | None = None

    @property
    def progress(self) -> float:
        """Steps done so far over all steps, 0 <= progress < 1."""
        return self.index / self.count

    @property
    def shift_kept(self) -> float:
        """r / b: how much of a window's shift the effective prediction must carry (`predict_jointly`).

        A step is x' = r x + b D, apart from noise. It leaves a picture without noise as it is, which in x stands with
        the factor `signal`: so b = signal' - r signal, which is 1 - r but for stochastic samplers of flow models.
        """
        if not 0 <= self.kept < 1:
            raise ValueError(f"kept: a denoising step keeps a part of x in [0, 1), got {self.kept}.")
        if self.kept == 0:
            return 0.0  # also of a step to pure noise, of which b is 0
        start, end = self.span or (self.sigma, self.kept * self.sigma)
        return self.kept / (signal(end, self.flow) - self.kept * signal(start, self.flow))


def signal(sigma: float, flow: bool) -> float:
    """The factor with which the picture stands in x at this noise level."""
    return 1 - sigma if flow else 1.0

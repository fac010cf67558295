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
        """r / b: how much of a window's shift the effective prediction must carry (`predict_jointly`)."""
        return self.kept / self._taken if self.kept else 0.0  # also of a step to pure noise, of which b is 0

    @property
    def replaced(self) -> float:
        """b / signal': the part of the picture in x that the step replaces by the prediction; 0..1."""
        return self._taken / self._signals[1] if self.kept else 1.0

    @property
    def _taken(self) -> float:
        """b of a step x' = r x + b D (apart from noise): 1 - r, but for stochastic samplers of flow models.

        A step leaves a picture without noise as it is, which in x stands with the factor `signal`: so b is
        signal' - r signal.
        """
        if not 0 <= self.kept < 1:
            raise ValueError(f"kept: a denoising step keeps a part of x in [0, 1), got {self.kept}.")
        before, after = self._signals
        return after - self.kept * before

    @property
    def _signals(self) -> tuple[float, float]:
        """Factors of the picture in x, where the step starts and where it ends."""
        start, end = self.span or (self.sigma, self.kept * self.sigma)
        return signal(start, self.flow), signal(end, self.flow)


def signal(sigma: float, flow: bool) -> float:
    """The factor with which the picture stands in x at this noise level."""
    return 1 - sigma if flow else 1.0

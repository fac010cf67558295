"""Where in the sampling a prediction is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a sampler.

    Attributes:
        sigma: noise level of x.
        kept: the part of x that the sampler's step keeps, r in x' = r x + (1 - r) D; sigma_next / sigma for Euler.
        index: steps done so far, 0 <= index < count.
        count: all steps.
        flow: whether x = (1 - sigma) x0 + sigma n (flow models) rather than x0 + sigma n.
    """

    sigma: float
    kept: float
    index: int
    count: int
    flow: bool = False

    @property
    def progress(self) -> float:
        """Steps done so far over all steps, 0 <= progress < 1."""
        return self.index / self.count

    @property
    def variance(self) -> float:
        """Variance of x for data of unit variance. Of the papers' x_t it is 1 at any noise level."""
        signal = 1 - self.sigma if self.flow else 1.0
        return signal**2 + self.sigma**2

    @property
    def shift_kept(self) -> float:
        """r / (1 - r): how much of a window's shift the effective prediction must carry (`predict_jointly`)."""
        if not 0 <= self.kept < 1:
            raise ValueError(f"kept: a denoising step keeps a part of x in [0, 1), got {self.kept}.")
        return self.kept / (1 - self.kept)

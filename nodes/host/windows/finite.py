"""Predictions that are not finite, found without waiting for the device in every step."""

import torch
from torch import Tensor

from ....core.joint_step import not_finite


class FirstNotFinite:
    """Remembers, on the device, the first prediction of a run that was not finite, and where it was not."""

    def __init__(self):
        """Start with none."""
        self._seen = 0
        self._step: Tensor | None = None  # number of the first such prediction, or -1
        self._where: Tensor | None = None  # (B, C, ..., H, W), true where it was not finite

    def look_at(self, denoised: Tensor) -> None:
        """One prediction more."""
        self._seen += 1
        where = ~denoised.isfinite()
        if self._step is None or self._where is None:
            self._step, self._where = torch.full((), -1, device=denoised.device), torch.zeros_like(where)
        first = (self._step < 0) & where.any()
        self._step = torch.where(first, self._seen, self._step)
        self._where = torch.where(first, where, self._where)

    def require(self) -> None:
        """Waits for the device, once.

        Raises:
            FloatingPointError: a prediction was not finite; names the first one and the place.
        """
        if self._step is None or self._where is None or (number := int(self._step)) < 0:
            return
        raise FloatingPointError(not_finite("the latent or its prediction", f"prediction {number}", self._where))

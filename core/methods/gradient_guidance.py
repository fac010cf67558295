"""Guidance by gradients, as the papers have it: windows are moved against the gradient of a loss, then denoised.

Several methods may guide at once. Each contributes a term, and a window is moved against the gradient of their sum, all
taken at the same place: so one evaluation of the model serves them all, and their order does not matter.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..canvas.windows import Window, canvas_size, crop_batch
from ..denoiser import Denoiser
from ..step import Step, signal

Decay = Literal["cosine", "constant"]
DECAYS: tuple[Decay, ...] = get_args(Decay)
Loss = Callable[[Tensor, Tensor, Sequence[Window]], Tensor]


@dataclass(frozen=True, kw_only=True)
class Term:
    """What one method wants of the windows.

    Attributes:
        loss: (views (N*B, ...), their denoised predictions, the N windows) -> a number, times the weight of the step;
            a *sum* over the views, so that one backward pass gives the gradient of each.
        unit_variance: the gradient is meant in the papers' x_t, which is x divided so that its variance is 1 at any
            noise level (for data of unit variance); else in pictures plus noise, x0 + s n.
    """

    loss: Loss
    unit_variance: bool = False


def window_shifts(
    x: Tensor,
    step: Step,
    denoise: Denoiser,
    batches: Sequence[Sequence[Window]],
    terms: Sequence[Term],
) -> dict[Window, Tensor]:
    """x^_i - x_i for every window of the canvas x: minus the gradient of the sum of `terms`, (B, C, ..., h, w) each.

    Convention:
        - guidance is the same for all kinds of models: it moves y = x0 + s n. Flow models see x = a y, a = 1 - sigma,
          so their views move by a times as much, and grad_y is a times grad_x
        - the papers' x_t is x / sqrt(v), v the variance of x for data of unit variance. A step along its gradient moves
          x by v grad_x

    Raises:
        FloatingPointError: a non-finite gradient, which would become a black picture; names step and windows.
    """
    shifts: dict[Window, Tensor] = {}
    for windows in batches:
        shift = _shift(crop_batch(x, windows), step, denoise, x, windows, terms)
        if not bool(shift.isfinite().all()):
            places = ", ".join(f"({window.left}, {window.top})" for window in windows)
            raise FloatingPointError(
                f"{step}: the gradient is not finite in the windows at x, y = {places} (latent cells); lower the "
                "weight, run the model in higher precision, or choose a guidance that needs no gradient of the model."
            )
        shifts.update(zip(windows, shift.chunk(len(windows)), strict=True))
    return shifts


def _shift(
    views: Tensor, step: Step, denoise: Denoiser, x: Tensor, windows: Sequence[Window], terms: Sequence[Term]
) -> Tensor:
    factor = signal(step.sigma, step.flow)
    variance = factor**2 + step.sigma**2
    with torch.inference_mode(False), torch.enable_grad():
        leaf = views.detach().clone().requires_grad_()  # the clone turns an inference tensor into a normal one
        denoised = denoise(leaf, step.sigma, windows, canvas_size(x))
        loss = leaf.new_zeros(())
        for term in terms:
            loss = loss + (variance if term.unit_variance else factor**2) * term.loss(leaf, denoised, windows)
        return -torch.autograd.grad(loss, leaf)[0]


def decayed(weight: float, decay: Decay, progress: float) -> float:
    """Weight of the guidance at `progress` in [0, 1].

    `cosine` is MSD's factor (1 + cos(progress * pi)) / 2 (section IV-A.2).
    """
    return weight * ((1 + math.cos(progress * math.pi)) / 2 if decay == "cosine" else 1.0)

"""Guidance by gradients, as the papers describe it: a view is shifted against the gradient of a loss, then denoised.

Several methods may guide at once, each by a `Term`. A view is shifted against the gradient of the sum of all terms. So
one evaluation of the model serves all methods, and their order does not matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..canvas.windows import Window, canvas_size, crop_batch
from ..denoiser import Denoiser
from ..step import Step, signal

Loss = Callable[[Tensor, Tensor, Sequence[Window]], Tensor]


@dataclass(frozen=True, kw_only=True)
class Term:
    """The loss of one method.

    Attributes:
        loss: (noisy views (N*B, ...), their denoised predictions, the N windows) -> a scalar, with the weight of the
            step in it. It is a *sum* over the views, so one backward pass gives the gradient of each view.
        unit_variance: how the gradient is scaled. True: as in the papers' x_t, which has variance 1 at every noise
            level (for data of variance 1). False: as in y = x0 + s n. See `window_shifts`.
    """

    loss: Loss
    unit_variance: bool = False


def gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of a scalar loss at x, with the shape of x; also inside `torch.inference_mode` and `no_grad`."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()  # the clone of an inference tensor is a normal tensor
        return torch.autograd.grad(loss(leaf), leaf)[0]


def window_shifts(
    x: Tensor,
    step: Step,
    denoise: Denoiser,
    batches: Sequence[Sequence[Window]],
    terms: Sequence[Term],
) -> dict[Window, Tensor]:
    """x^_i - x_i for every window of the canvas x: minus the gradient of the sum of `terms`, (B, C, ..., h, w) each.

    Convention:
        - the gradient is taken at the views x_i as they are cropped, through the model
        - all kinds of models are guided alike, in y = x0 + s n. A flow model sees x = a y with a = 1 - sigma, so its
          shift is a times that of y, and grad_y = a grad_x: the shift is -a^2 grad_x
        - the papers' x_t is x / sqrt(v), where v is the variance of x for data of variance 1. In x, a step along its
          gradient is -v grad_x

    Raises:
        FloatingPointError: a gradient that is not finite, which would give a black picture; names step and windows.
    """
    factor, canvas = signal(step.sigma, step.flow), canvas_size(x)
    variance = factor**2 + step.sigma**2
    shifts: dict[Window, Tensor] = {}
    for windows in batches:

        def loss(views: Tensor, windows: Sequence[Window] = windows) -> Tensor:
            denoised = denoise(views, step.sigma, windows, canvas)
            scaled = [
                (variance if term.unit_variance else factor**2) * term.loss(views, denoised, windows) for term in terms
            ]
            return sum(scaled, start=views.new_zeros(()))

        shift = -gradient(loss, crop_batch(x, windows))
        if not bool(shift.isfinite().all()):
            places = ", ".join(f"({window.left}, {window.top})" for window in windows)
            raise FloatingPointError(
                f"{step}: the gradient is not finite in the windows at x, y = {places} (latent cells); lower the "
                "weight, run the model in higher precision, or choose a guidance that needs no gradient of the model."
            )
        shifts.update(zip(windows, shift.chunk(len(windows)), strict=True))
    return shifts

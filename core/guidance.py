"""What guided methods share: the gradient of a loss at a batch of views, and how the weight falls over the steps."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Decay = Literal["cosine", "constant"]


def gradient(loss: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
    """d loss / d views, with the shape of `views`; works inside `torch.inference_mode` too.

    The loss of a batch of windows is a sum over them, so one backward pass gives the gradient of each.

    Raises:
        FloatingPointError: a non-finite gradient, which would become a black picture.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = views.detach().clone().requires_grad_()  # the clone turns an inference tensor into a normal one
        (result,) = torch.autograd.grad(loss(leaf), leaf)
    if not bool(result.isfinite().all()):
        raise FloatingPointError("the gradient is not finite; lower the weight, or use jacobian_free, which needs none")
    return result


def decayed(weight: float, decay: Decay, progress: float, stop: float) -> float:
    """Weight of the guidance at `progress` = (T - t) / T in [0, 1]; 0 from `stop` on.

    `cosine` is MSD's factor (1 + cos(progress * pi)) / 2 (section IV-A.2).
    """
    if progress >= stop:
        return 0.0
    return weight * ((1 + math.cos(progress * math.pi)) / 2 if decay == "cosine" else 1.0)

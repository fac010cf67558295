"""A loss over many views, in the memory of a few."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def distances(distance: Callable[[Tensor], Tensor], views: Tensor, at_once: int) -> Tensor:
    """(M,): `distance` of every view, differentiable in `views`, with what autograd keeps of `at_once` views only.

    A decoder and a perceptual loss keep gigabytes for a window of 512 pixels. But the distance of a view depends on no
    other view, so its gradient can be found right away, and is all that is kept: it has the size of the view.

    Args:
        distance: part of the views -> (m,), each row's distance by itself.
        views: (M, ...)
        at_once: how many views go into one call of `distance`.
    """
    return _Distances.apply(views, distance, at_once)  # type: ignore[no-any-return]


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, views: Tensor, distance: Callable[[Tensor], Tensor], at_once: int) -> Tensor:
        found: list[Tensor] = []
        gradients: list[Tensor] = []
        for start in range(0, len(views), at_once):
            part = views[start : start + at_once].detach()
            if ctx.needs_input_grad[0]:
                with torch.enable_grad():
                    part = part.requires_grad_()
                    result = distance(part)
                    gradients += torch.autograd.grad(result.sum(), part)
            else:
                result = distance(part)
            found.append(result.detach())
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(found)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *weights: Tensor
    ) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return weights[0].reshape(-1, *[1] * (gradients.ndim - 1)).to(gradients) * gradients, None, None

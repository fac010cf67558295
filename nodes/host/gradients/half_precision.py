"""Backward passes that half precision can hold.

The gradient of a mean over a picture is about 1e-5 per value, and float16 has nothing below 6e-8: most of it would
become zero on its way through a network. So each row of a batch runs backward divided by its largest value, and is
multiplied by it again.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def evenly_scaled(predict: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`predict(x)`, whose backward pass is scaled. Row r of the result must depend on row r of x (rows, ...) alone."""
    largest = torch.ones(len(x), device=x.device)

    def divided(gradient: Tensor) -> Tensor:
        nonlocal largest
        largest = gradient.flatten(1).abs().amax(1).clamp(min=torch.finfo(gradient.dtype).tiny)
        return gradient / _of_rows(largest, gradient)

    x = x.clone()
    x.register_hook(lambda gradient: gradient * _of_rows(largest, gradient).to(gradient))
    result = predict(x)
    if result.requires_grad:  # else the caller says that there is no gradient
        result.register_hook(divided)
    return result


def _of_rows(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))

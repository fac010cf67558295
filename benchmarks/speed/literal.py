"""The papers' algorithms as their pseudo-code has them: window by window, one after the other, in plain autograd.

What the pack must be as fast as, and equal to. A model is `denoise(view, sigma)` with views (1, C, h, w); one step Phi
is DDIM without noise in sigma space, x' = D + (s' / s) (x - D), which is also Euler.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Box = tuple[int, int, int, int]  # top, left, height, width


def boxes(canvas: Sequence[int], window: int, stride: int) -> list[Box]:
    """Square windows row by row on a canvas (height, width) that they fit exactly."""
    tops, lefts = (range(0, max(side - window, 0) + 1, stride) for side in canvas)
    return [(top, left, min(window, canvas[0]), min(window, canvas[1])) for top in tops for left in lefts]


def look(x: Tensor, box: Box) -> Tensor:
    """F_i."""
    top, left, height, width = box
    return x[..., top : top + height, left : left + width]


def step(view: Tensor, sigma: float, after: float, denoise: Denoise) -> Tensor:
    """Phi."""
    denoised = denoise(view, sigma)
    return denoised + after / sigma * (view - denoised)


def average(x: Tensor, stepped: Sequence[Tensor], windows: Sequence[Box]) -> Tensor:
    """Eq. 6 of Multi-Scale Diffusion with weights of 1."""
    value, count = torch.zeros_like(x), torch.zeros_like(x)
    for view, window in zip(stepped, windows, strict=True):
        look(value, window).add_(view)
        look(count, window).add_(1)
    return value / count


def multidiffusion(x: Tensor, sigma: float, after: float, denoise: Denoise, windows: Sequence[Box]) -> Tensor:
    """Eq. 3-6 of Multi-Scale Diffusion."""
    with torch.no_grad():
        return average(x, [step(look(x, window), sigma, after, denoise) for window in windows], windows)


def multi_scale(
    x: Tensor, sigma: float, after: float, denoise: Denoise, window: int, stride: int, weight: float
) -> Tensor:
    """Algorithm 1 of Multi-Scale Diffusion with two scales."""
    coarse = torch.nn.functional.avg_pool2d(x, 2)
    below = multidiffusion(coarse, sigma, after, denoise, boxes(coarse.shape[-2:], window, stride))
    windows, stepped = boxes(x.shape[-2:], window, stride), []
    for box in windows:
        top, left, height, width = (length // 2 for length in box)
        wanted = look(below, (top, left, height, width))
        view = look(x, box).clone().requires_grad_()
        with torch.enable_grad():
            seen = torch.nn.functional.avg_pool2d(step(view, sigma, after, denoise), 2)
            (gradient,) = torch.autograd.grad((seen - wanted).square().sum(), view)
        with torch.no_grad():
            stepped.append(step(view - weight * gradient, sigma, after, denoise))
    return average(x, stepped, windows)


def sync_diffusion(
    x: Tensor,
    sigma: float,
    after: float,
    denoise: Denoise,
    windows: Sequence[Box],
    anchor: Box,
    loss: Callable[[Tensor, Tensor], Tensor],
    weight: float,
) -> Tensor:
    """Algorithm 1 of SyncDiffusion; `loss(denoised, that of the anchor)`."""
    with torch.no_grad():
        reference = denoise(look(x, anchor), sigma)
    stepped = []
    for window in windows:
        view = look(x, window)
        if window != anchor:
            leaf = view.clone().requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(loss(denoise(leaf, sigma), reference), leaf)
            view = view - weight * gradient
        with torch.no_grad():
            stepped.append(step(view, sigma, after, denoise))
    return average(x, stepped, windows)

"""Any sampler of the host, stepping with the predictions and the noise of one zoom stack (Algorithm 2)."""

from collections.abc import Callable
from typing import NamedTuple

import comfy.samplers
import torch
from torch import Tensor

from .joined_sampler import joined_sampler

Join = Callable[[Tensor, int, int], Tensor]  # denoised levels, step, steps -> consistent ones


def zoom_sampler(
    name: str, shape: torch.Size, join: Join, render_noise: Callable[[Tensor], Tensor]
) -> comfy.samplers.KSAMPLER:
    """The host's sampler of that name for a stack of this shape.

    Args:
        name: one of `comfy.samplers.SAMPLER_NAMES`.
        shape: of the stack (N, C, ..., h, w). Other tensors are sampled as ever: guidance lets samplers rehearse.
        join: blends and renders denoised levels.
        render_noise: turns independent noise into that of the stack.
    """
    return joined_sampler(name, shape, _JoinedStack(join, render_noise))


class _JoinedStack(NamedTuple):
    """A zoom stack as a `Joining`: its levels are what the sampler steps."""

    join: Join
    noise: Callable[[Tensor], Tensor]

    def pictures(self, rows: Tensor, done: float, steps: int) -> Tensor:
        return rows

    def rows(self, denoised: Tensor, done: float, steps: int) -> Tensor:
        return self.join(denoised, int(done), steps)

"""The model, as the core calls it."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .canvas.windows import Size, Window


class Denoiser(Protocol):
    """A diffusion model of views of a canvas."""

    def __call__(self, views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size, /) -> Tensor:
        """The denoised (x0) prediction of each view, after classifier-free guidance.

        Args:
            views: (N*B, C, ..., h, w) noisy latents, the N windows stacked window-major.
            sigma: their noise level.
            windows: the N windows of the views. A model may crop its conditioning with them.
            canvas: size of the canvas of these windows; Multi-Scale Diffusion also has coarser canvases.

        Returns:
            (N*B, C, ..., h, w)
        """
        ...

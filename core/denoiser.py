"""What the core knows of a model."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .canvas.windows import Size, Window


class Denoiser(Protocol):
    """A diffusion model as seen through windows of a canvas."""

    def __call__(self, views: Tensor, sigma: float, windows: Sequence[Window], canvas: Size, /) -> Tensor:
        """The denoised (x0) prediction of each view, after classifier-free guidance.

        Args:
            views: (N*B, C, ..., h, w) noisy latents in sigma space, the N windows stacked window-major.
            sigma: their noise level.
            windows: the N rectangles that the views were cropped through, so that conditioning can be cropped alike.
            canvas: size of the canvas that the windows lie on, which is a coarser one in Multi-Scale Diffusion.

        Returns:
            (N*B, C, ..., h, w)
        """
        ...

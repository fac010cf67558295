"""All measures of a panorama that need only its pixels and windows: no network, no prompt, no other picture."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..canvas.windows import NO_WRAP, Window, Wrap, canvas_size
from .coherence import pairs_apart, palette_distance, style_distance
from .seams import PIXELS_PER_CELL, mean_energy, seam_energies, window_borders, wrap_error


class Metrics(NamedTuple):
    """Measures of B panoramas.

    Attributes:
        seams: (B, rows + columns), `seam_energies` at the `window_borders`; 1 is no seam.
        wrap_error_x: (B,), `wrap_error` of left and right; 1 is no seam. It says nothing if these edges are not joined.
        wrap_error_y: (B,), the same for top and bottom.
        palette_distance: (B,) in RGB units, between windows that do not touch; 0 for one palette, or if all touch.
        style_distance: (B,), 0..2, the same for textures.
    """

    seams: Tensor
    wrap_error_x: Tensor
    wrap_error_y: Tensor
    palette_distance: Tensor
    style_distance: Tensor

    @property
    def seam_energy(self) -> Tensor:
        """Mean over all borders, (B,)."""
        return mean_energy(self.seams)

    @staticmethod
    def mean(several: Sequence["Metrics"]) -> "Metrics":
        """Means over all panoramas of several batches, as a batch of one."""
        return Metrics(*(torch.cat(numbers).mean(dim=0, keepdim=True) for numbers in zip(*several, strict=True)))


def panorama_metrics(
    image: Tensor, windows: Sequence[Window], wrap: Wrap = NO_WRAP, pixels_per_cell: int = PIXELS_PER_CELL
) -> Metrics:
    """Seams, edges and coherence of panoramas.

    Args:
        image: (B, C, H, W) in [0, 1].
        windows: those of the denoising, in pixels, of one size.
        wrap: edges that are joined.
        pixels_per_cell: pixels per side of a latent cell.

    Raises:
        ValueError: as `seam_energies` and `style_distance`.
    """
    canvas = canvas_size(image)
    pairs = pairs_apart(windows, canvas, wrap)
    return Metrics(
        seams=seam_energies(image, window_borders(windows, canvas), pixels_per_cell),
        wrap_error_x=wrap_error(image, "x", pixels_per_cell),
        wrap_error_y=wrap_error(image, "y", pixels_per_cell),
        palette_distance=palette_distance(image, pairs),
        style_distance=style_distance(image, pairs),
    )

"""A Laplacian pyramid with any factor p between its bands, whose bands do not leak into one another.

Downsampling is the mean over p x p cells. Enlarging is smooth, and each coarse cell is exactly the mean of the p x p
cells that it becomes. So an image that was enlarged k times has nothing in its k finest bands, up to rounding. With the
usual bilinear or Gaussian filters it would have a little in every band.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..canvas.resample import downsample
from ..canvas.windows import Size, Window, canvas_size, crop

# The value at the border of two cells is computed from the means of two cells before and two cells after it: Colella
# and Woodward, "The Piecewise Parabolic Method", 1984, Eq. 1.6 for cells of one size.
BORDER = (-1 / 12, 7 / 12, 7 / 12, -1 / 12)
REACH = 2  # coarse cells on either side that a fine cell depends on


class Bands(NamedTuple):
    """One step of the pyramid."""

    band: Tensor  # (..., H, W) the image minus the enlarged coarse image
    coarse: Tensor  # (..., h, w) means over p x p cells


def split(image: Tensor, zoom_factor: int, block: Window) -> Bands:
    """Split an image (..., H, W) into its finest band and a coarse image, which can be split again.

    `block` is the part of the image that the coarse image covers, p h x p w. Outside of it, where p does not divide the
    size, the edge cells of the coarse image are continued. `join` is the inverse, up to rounding.
    """
    coarse = downsample(crop(image, block), zoom_factor)
    return Bands(image - enlarge(coarse, zoom_factor, block, canvas_size(image)), coarse)


def join(band: Tensor, coarse: Tensor, zoom_factor: int, block: Window) -> Tensor:
    """The image (..., H, W) of a finest band (..., H, W) and a coarse image (..., h, w)."""
    return band + enlarge(coarse, zoom_factor, block, canvas_size(band))


def enlarge(coarse: Tensor, zoom_factor: int, block: Window, size: Size) -> Tensor:
    """Enlarge (..., h, w) smoothly to (..., H, W); the coarse image lies at `block`.

    Along each axis every coarse cell becomes a parabola whose mean is the cell; parabolas meet at the borders of cells.
    A fine cell is the mean of the parabola over it. A linear ramp stays one. Next to an edge the values overshoot, as
    every smooth interpolation of means must.
    """
    cells = canvas_size(coarse)
    rows = _enlarging(cells.height, zoom_factor, block.top, size.height).to(coarse)
    columns = _enlarging(cells.width, zoom_factor, block.left, size.width).to(coarse)
    return rows @ coarse @ columns.T


@lru_cache(maxsize=16)  # the same few for all levels, in every step
@torch.inference_mode(False)  # autograd may save them
def _enlarging(cells: int, zoom_factor: int, start: int, length: int) -> Tensor:
    """(length, cells) float64: the matrix of `enlarge` along one axis."""
    position = torch.arange(length) - start
    around = (position // zoom_factor)[:, None] + torch.arange(-REACH, REACH + 1)
    matrix = torch.zeros(length, cells, dtype=torch.float64)
    return matrix.scatter_add_(1, around.clamp(0, cells - 1), _subcell_weights(zoom_factor)[position % zoom_factor])


def _subcell_weights(zoom_factor: int) -> Tensor:
    """(p, 5) float64: the p parts of a cell as weighted sums of the cell and two neighbours on either side."""
    x = torch.linspace(0, 1, zoom_factor + 1, dtype=torch.float64)
    left, mean, right = torch.tensor(((*BORDER, 0), (0, 0, 1, 0, 0), (0, *BORDER)), dtype=torch.float64)
    # The integral of the parabola: the cubic from 0 to `mean` with slopes `left` and `right`.
    integral = (
        torch.outer(x - 2 * x**2 + x**3, left)
        + torch.outer(3 * x**2 - 2 * x**3, mean)
        + torch.outer(x**3 - x**2, right)
    )
    return zoom_factor * integral.diff(dim=0)

"""Crop and resize: any rectangle of a picture at any size. It may begin and end between cells."""

from typing import NamedTuple

import torch
from torch import Tensor

# Outputs that share one small matrix. A larger block multiplies by more zeros, a smaller one needs more calls.
BLOCK = 32


class Sampling(NamedTuple):
    """Where the output cells lie on the input, along one axis: the centre of cell i is at start + (i + 0.5) * step.

    The first input cell reaches from 0 to 1.
    """

    start: float
    step: float  # input cells per output, above 0; below 1 enlarges
    outputs: int


def crop_resize(rows: Tensor, y: Sampling, x: Sampling) -> Tensor:
    """Resample a picture along both axes: (H, C, W) to (y.outputs, C, x.outputs).

    Convention:
        - the kernel is the cubic of Keys, a = -0.5 (Catmull-Rom). It interpolates when it enlarges: start 0 and step 1
          return the picture itself. When it downsamples it is stretched by `step`, which avoids aliasing
        - at the border of the picture the weights inside are divided by their sum, as in Pillow and torch: start 0 and
          step H / outputs give `interpolate(mode="bicubic", antialias=True)`
        - the channels lie between rows and columns, so that both axes are matrix products

    Args:
        rows: (H, C, W), float32 or float64.
        y: the rows; their centres lie on the picture.
        x: the columns; their centres lie on the picture.
    """
    height, channels, width = rows.shape
    first_rows, row_weights = _kernels(height, y, rows)
    first_columns, column_weights = _kernels(width, x, rows)
    reach, breadth = row_weights.shape[-1], column_weights.shape[-1]

    seen = rows[first_rows[0] : first_rows[-1] + reach].reshape(-1, width)
    narrow = seen.new_empty(len(seen), x.outputs)
    for index, first in enumerate(first_columns):
        out = narrow[:, index * BLOCK : (index + 1) * BLOCK]
        torch.mm(seen[:, first : first + breadth], column_weights[index, : out.shape[1]].T, out=out)

    narrow = narrow.view(-1, channels * x.outputs)
    resized = narrow.new_empty(y.outputs, channels * x.outputs)
    for index, first in enumerate(first_rows):
        out = resized[index * BLOCK : (index + 1) * BLOCK]
        offset = first - first_rows[0]
        torch.mm(row_weights[index, : len(out)], narrow[offset : offset + reach], out=out)
    return resized.view(y.outputs, channels, x.outputs)


def _kernels(length: int, sampling: Sampling, like: Tensor) -> tuple[list[int], Tensor]:
    """For each block of outputs its first input, and the weights (blocks, BLOCK, inputs) of the inputs after it."""
    start, step, count = sampling
    stretch = max(step, 1.0)
    blocks = -(-count // BLOCK)
    breadth = min(int(BLOCK * step + 4 * stretch) + 3, length)
    outputs = torch.arange(blocks * BLOCK, dtype=torch.float64).clamp(max=count - 1)  # the last block may not be full
    centres = (start + (outputs + 0.5) * step).view(blocks, BLOCK)
    first = (centres[:, :1] - 2 * stretch).floor().clamp(0, length - breadth)
    inputs = first + torch.arange(breadth, dtype=torch.float64) + 0.5
    weights = _cubic((inputs[:, None] - centres[..., None]).abs() / stretch)
    weights = weights / weights.sum(-1, keepdim=True)
    return [int(index) for index in first], weights.to(like)


def _cubic(distance: Tensor) -> Tensor:
    """The kernel of Keys 1981, Eq. 4."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))

"""Numbers for what a picture of the world should be: in order, of one palette, the same at every zoom.

Seams and coherence need not know the world: they are in `core/measure/`. Functions take decoded images (B, 3, H, W) in
[0, 1] and return one float per image as a (B,) tensor.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from kornia.contrib import extract_tensor_patches
from kornia.filters import box_blur
from torch import Tensor, nn

from .layer_colours import REGION, cells, classify, colour_model, palettes_of
from .palette import LAYERS

SHORTEST_RUN = 5  # cells of 4 pixels; a shorter vertical run is texture or a cloud, not a layer
NEIGHBOURS = (-16, -8, 8, 16)  # pixels from a frame to those it is compared with


def column_runs(column: Sequence[int], shortest: int = SHORTEST_RUN) -> list[int]:
    """Layers of a column from top to bottom, one entry per run; runs shorter than `shortest` do not count."""
    runs: list[list[int]] = []
    for layer in column:
        if runs and runs[-1][0] == layer:
            runs[-1][1] += 1
        else:
            runs.append([layer, 1])
    long = [layer for layer, length in runs if length >= shortest]
    return [layer for i, layer in enumerate(long) if i == 0 or layer != long[i - 1]]


def majority(layers: Tensor, size: int = 5) -> Tensor:
    """(B, h, w) layers, each cell replaced by the commonest layer of its size x size neighbourhood."""
    votes = nn.functional.one_hot(layers, len(LAYERS)).permute(0, 3, 1, 2).float()
    counts = nn.functional.avg_pool2d(votes, size, stride=1, padding=size // 2)
    return (counts + 1e-3 * votes).argmax(dim=1)  # a tie stays as it was


def order_violations_per_column(image: Tensor, prompt: str = "") -> Tensor:
    """How often a layer lies under one that belongs below it, averaged over the columns.

    Convention:
        - 0 is a perfect layout; one sky under a meadow in every column is 1; a scene stacked on itself is 1
        - columns are 4 pixels wide
        - a layer may be missing: only the order of those that are there counts

    Args:
        image: (B, 3, H, W) in [0, 1].
        prompt: its season and hour say which palettes to expect; without them all are tried, region by region.
    """
    layers = majority(classify(image, prompt))
    violations = []
    for picture in layers:
        falls = 0
        for column in picture.T.tolist():
            runs = column_runs(column)
            falls += sum(lower < upper for upper, lower in pairwise(runs))
        violations.append(falls / picture.shape[1])
    return torch.tensor(violations)


def native_windows(image: Tensor) -> Tensor:
    """Windows of the model's size side by side, row by row: (B, N, 3, 128, 128); what is left over is dropped."""
    height, width = (length // REGION * REGION for length in image.shape[-2:])
    return extract_tensor_patches(image[..., :height, :width], REGION, REGION)


def palette_deviation(image: Tensor, prompt: str) -> Tensor:
    """How far the colours are from those the prompt asks for: Mahalanobis distance, about 1.5 for a true render.

    Each 4 x 4 cell is compared with the nearest layer of the prompt's palette, in standard deviations of that layer's
    colours; the result is the mean over cells. Where the prompt allows several palettes, the best one counts.
    """
    colours = cells(image)
    model = colour_model(palettes_of(prompt))
    off = colours[:, None, None] - model.mean[None, :, :, :, None, None]
    squared = torch.einsum("bplchw,plcd,bpldhw->bplhw", off, model.inverse, off)
    return squared.clamp(min=0).sqrt().amin(dim=2).mean(dim=(-2, -1)).amin(dim=1)


def window_deviation(image: Tensor, prompt: str) -> Tensor:
    """`palette_deviation` window by window: each of the native windows side by side may have a palette of its own.

    It says how much a window looks like a picture of this world, and nothing of whether the windows go together.
    """
    deviation = palette_deviation(native_windows(image).flatten(0, 1), prompt)
    return deviation.unflatten(0, (len(image), -1)).mean(dim=1)


def zoom_inconsistency(levels: Tensor, p: int) -> Tensor:
    """How far neighbouring levels of a zoom stack disagree about what both show: mean absolute RGB difference, 0..1.

    Convention:
        - levels (N, 3, H, W), level 0 is the most zoomed out; level i + 1 shows the centre of level i, p times larger
        - a level is shrunk by the mean over p x p pixels; H and W are multiples of 2 p, so that the centre is whole
        - unlike the other functions here the result is (N - 1,), one number for each pair of neighbours
    """
    height, width = levels.shape[-2:]
    if height % (2 * p) or width % (2 * p):
        raise ValueError(f"levels: height and width must be multiples of 2 p = {2 * p}, got {height} x {width}.")
    top, left = (height - height // p) // 2, (width - width // p) // 2
    centres = levels[:-1, :, top : top + height // p, left : left + width // p]
    return (nn.functional.avg_pool2d(levels[1:], p) - centres).abs().mean(dim=(1, 2, 3))


def sharpness(image: Tensor) -> Tensor:
    """Contrast of the details: RMS over pixels and channels of what a 5 x 5 mean removes, in RGB units.

    0 for a flat picture. Only comparable between pictures of the same things.
    """
    return (image - box_blur(image, 5, border_type="replicate")).square().mean(dim=(1, 2, 3)).sqrt()


def grid_energy(image: Tensor, period: int, axis: str) -> Tensor:
    """How much an image repeats every `period` pixels: its power there, relative to the spectrum around; 1 is no grid.

    8 pixels are a latent cell, 16 are two: what a decoder prints of cells that it has never seen.

    Convention:
        - the power spectrum of every row (or column) of the grey image, without its mean and faded out at both ends by
          a Hann window, is averaged over the rows
        - the power within 1 bin of the period is compared with that of the bins 3 to 8 away on either side; a bin is
          one period in the length of the row
        - the power of pictures falls with the frequency, so without a grid they have 0.6 to 1: compare with true ones

    Args:
        image: (B, 3, H, W) in [0, 1], at least 9 periods long.
        period: in pixels, at least 4.
        axis: `x` for what repeats from left to right, `y` from top to bottom.
    """
    rows = image.mean(dim=1)
    rows = rows if axis == "x" else rows.transpose(-2, -1)
    length = rows.shape[-1]
    at = round(length / period)
    if at < 9 or period < 4:
        raise ValueError(
            f"grid: needs a period of at least 4 and 9 periods, got {length} pixels for a period of {period}."
        )
    fading = torch.hann_window(length, device=image.device)
    power = torch.fft.rfft((rows - rows.mean(dim=-1, keepdim=True)) * fading).abs().square().mean(dim=-2)
    around = torch.cat([power[:, at - 8 : at - 2], power[:, at + 3 : at + 9]], dim=1)
    return power[:, at - 1 : at + 2].mean(dim=1) / around.mean(dim=1).clamp(min=1e-12)


def ring_energy(levels: Tensor, p: int) -> Tensor:
    """Mean colour step across the frame that level i + 1 leaves in level i, relative to the steps around it.

    1 means that the frame looks like any other place, 2 that the steps there are twice as large. Compared is with
    frames 8 and 16 pixels further in and out. Levels and result (N - 1,) as in `zoom_inconsistency`.
    """
    height, width = levels.shape[-2:]
    vertical, horizontal = (levels[:-1].diff(dim=dim).abs().mean(dim=1) for dim in (-2, -1))

    def step(outwards: int) -> Tensor:
        top, left = (height - height // p) // 2 - outwards, (width - width // p) // 2 - outwards
        rows, columns = slice(top, height - top), slice(left, width - left)
        across = [vertical[:, row - 1, columns] for row in (top, height - top)]
        across += [horizontal[:, rows, column - 1] for column in (left, width - left)]
        return torch.cat(across, dim=1).mean(dim=1)

    around = torch.stack([step(outwards) for outwards in NEIGHBOURS]).mean(dim=0)
    return step(0) / around.clamp(min=1e-6)

"""Measures that know the world: order of the layers, palette, consistency of zooms, and the grid of latent cells.

Seams and coherence do not need the world; they are in `core/measure/`. Functions take decoded images (B, 3, H, W) in
[0, 1] and return one number per image, (B,).
"""

from collections.abc import Sequence
from itertools import groupby, pairwise

import torch
from kornia.contrib import extract_tensor_patches
from kornia.filters import box_blur
from torch import Tensor, nn

from .layer_colours import cells, classify, colour_model, squared_distance
from .world import WINDOW
from .worlds import LANDSCAPES, World

SHORTEST_RUN = 5  # cells of 4 pixels; a shorter vertical run is texture or a cloud, not a layer
NEIGHBOURS = (-16, -8, 8, 16)  # pixels from a frame to the frames it is compared with


def column_runs(column: Sequence[int], shortest: int = SHORTEST_RUN) -> list[int]:
    """The layers of a column from top to bottom, one entry per run; runs shorter than `shortest` do not count."""
    runs = [(layer, len(list(run))) for layer, run in groupby(column)]
    return [layer for layer, _ in groupby(layer for layer, length in runs if length >= shortest)]


def majority(layers: Tensor, size: int = 5) -> Tensor:
    """(B, h, w) layers, each cell replaced by the commonest layer of its size x size neighbourhood."""
    votes = nn.functional.one_hot(layers).permute(0, 3, 1, 2).float()
    counts = nn.functional.avg_pool2d(votes, size, stride=1, padding=size // 2)
    return (counts + 1e-3 * votes).argmax(dim=1)  # a tie stays as it was


def order_violations_per_column(image: Tensor, prompt: str = "", world: World = LANDSCAPES) -> Tensor:
    """How often a layer lies under one that belongs below it, averaged over the columns: (B,), 0 is a true layout.

    A scene stacked on itself has 1. Columns are 4 pixels wide. Layers may be missing: only the order counts. Words of
    the prompt tell the palette, such as season and hour; without them all palettes are tried, region by region.
    """
    violations = []
    for picture in majority(classify(image, prompt, world)):
        columns = picture.T.tolist()
        neighbours = (pair for column in columns for pair in pairwise(column_runs(column)))
        violations.append(sum(lower < upper for upper, lower in neighbours) / len(columns))
    return torch.tensor(violations)


def palette_deviation(image: Tensor, prompt: str, world: World = LANDSCAPES) -> Tensor:
    """Mahalanobis distance of the colours from those of the prompt: (B,), about 1.5 for a true render.

    Each cell of 4 x 4 pixels is compared with the nearest layer of the palette, in standard deviations of its colours.
    The result is the mean over cells, for the best of the palettes that the prompt allows.
    """
    squared = squared_distance(cells(image), colour_model(world.palettes_of(prompt), world))
    return squared.clamp(min=0).sqrt().amin(dim=2).mean(dim=(-2, -1)).amin(dim=1)


def window_deviation(image: Tensor, prompt: str, world: World = LANDSCAPES) -> Tensor:
    """The mean `palette_deviation` of the native windows side by side, each with the palette that fits it best: (B,).

    It measures the windows one by one, not whether they go together. A rest at the right or below is dropped.
    """
    height, width = (side // WINDOW * WINDOW for side in image.shape[-2:])
    windows = extract_tensor_patches(image[..., :height, :width], WINDOW, WINDOW).flatten(0, 1)
    return palette_deviation(windows, prompt, world).unflatten(0, (len(image), -1)).mean(dim=1)


def zoom_inconsistency(levels: Tensor, zoom_factor: int) -> Tensor:
    """Mean absolute RGB difference between the centre of a level and the next level, downsampled: (N - 1,), 0..1.

    `levels` (N, 3, H, W) begin with the most zoomed out one, and level i + 1 shows the centre of level i,
    `zoom_factor` (p) times larger. Downsampling is the mean over p x p pixels. H and W are multiples of 2 p.
    """
    height, width = levels.shape[-2:]
    if height % (2 * zoom_factor) or width % (2 * zoom_factor):
        raise ValueError(
            f"levels: height and width must be multiples of 2 p = {2 * zoom_factor}, got {height} x {width}."
        )
    top, left = (height - height // zoom_factor) // 2, (width - width // zoom_factor) // 2
    centres = levels[:-1, :, top : top + height // zoom_factor, left : left + width // zoom_factor]
    return (nn.functional.avg_pool2d(levels[1:], zoom_factor) - centres).abs().mean(dim=(1, 2, 3))


def sharpness(image: Tensor) -> Tensor:
    """RMS over pixels and channels of the difference from the 5 x 5 mean: (B,) in RGB units, 0 for a flat picture.

    It only compares pictures of the same things.
    """
    return (image - box_blur(image, 5, border_type="replicate")).square().mean(dim=(1, 2, 3)).sqrt()


def grid_energy(image: Tensor, period: int, axis: str) -> Tensor:
    """The power of an image at a period, divided by the power at frequencies nearby: (B,).

    Decoders print a grid with the period of one or two latent cells (8 or 16 pixels) for cells that they have never
    seen. Without a grid the value is 0.6 to 1, because the power of pictures falls with the frequency.

    Convention:
        - the power spectrum of every row (or column) of the grey image, without its mean and under a Hann window, is
          averaged over the rows
        - the power within 1 bin of the period is divided by that of the bins 3 to 8 away on either side

    Args:
        image: (B, 3, H, W) in [0, 1], at least 9 periods long.
        period: in pixels, at least 4.
        axis: `x` from left to right, `y` from top to bottom.

    Raises:
        ValueError: a period below 4, or an image of fewer than 9 periods.
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


def ring_energy(levels: Tensor, zoom_factor: int) -> Tensor:
    """Mean colour step across the frame that level i + 1 leaves in level i, divided by the steps nearby: (N - 1,).

    1 is no frame. The steps nearby are those 8 and 16 pixels further in and further out, as far as there is room.
    Levels as in `zoom_inconsistency`.
    """
    height, width = levels.shape[-2:]
    room = min(height, width) // zoom_factor // 2
    outside = min(side - side // zoom_factor for side in (height, width)) // 2
    vertical, horizontal = (levels[:-1].diff(dim=dim).abs().mean(dim=1) for dim in (-2, -1))

    def step(outwards: int) -> Tensor:
        top, left = (height - height // zoom_factor) // 2 - outwards, (width - width // zoom_factor) // 2 - outwards
        rows, columns = slice(top, height - top), slice(left, width - left)
        across = [vertical[:, row - 1, columns] for row in (top, height - top)]
        across += [horizontal[:, rows, column - 1] for column in (left, width - left)]
        return torch.cat(across, dim=1).mean(dim=1)

    around = torch.stack([step(outwards) for outwards in NEIGHBOURS if -room < outwards < outside]).mean(dim=0)
    return step(0) / around.clamp(min=1e-6)

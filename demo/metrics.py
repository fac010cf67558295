"""Numbers for what a panorama should be: in order, seamless, of one palette.

Functions take decoded images (B, 3, H, W) in [0, 1] and return one float per image as a (B,) tensor.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from .layer_colours import REGION, cells, classify, colour_model, palettes_of
from .palette import LAYERS

SHORTEST_RUN = 5  # cells of 4 pixels; a shorter vertical run is texture or a cloud, not a layer
STYLE_LEVELS = 4  # resolutions at which textures are compared
NEIGHBOURS = (-16, -8, 8, 16)  # pixels from a border to the places it is compared with


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
            falls += sum(lower < upper for upper, lower in zip(runs, runs[1:], strict=False))
        violations.append(falls / picture.shape[1])
    return torch.tensor(violations)


def seam_energy(image: Tensor, rows: Collection[int] = (), columns: Collection[int] = ()) -> Tensor:
    """Mean colour step across window borders, relative to the steps in their neighbourhood.

    1 means that a border looks like any other place, 2 that the steps there are twice as large. Compared is only with
    places nearby, because texture differs from layer to layer, and whole latent cells (8 pixels) away, because a
    decoder leaves a faint grid of its cells everywhere, which is no seam of windows.

    Args:
        image: (B, 3, H, W).
        rows: pixel rows at which a window starts or ends; the step is the one from row - 1 to row.
        columns: likewise for columns.
    """
    ratios = []
    for dim, borders in ((2, rows), (3, columns)):
        steps = image.diff(dim=dim).abs().mean(dim=1).mean(dim=2 if dim == 2 else 1)  # (B, length - 1)
        for border in borders:
            if not 0 < border < image.shape[dim]:
                raise ValueError(
                    f"{'rows' if dim == 2 else 'columns'}: a border must lie inside the image, "
                    f"1..{image.shape[dim] - 1}, got {border}."
                )
            here = steps[:, border - 1]
            places = [border - 1 + offset for offset in NEIGHBOURS if 0 <= border - 1 + offset < steps.shape[1]]
            around = steps[:, places].mean(dim=1)
            ratios.append(here / around.clamp(min=1e-6))
    if not ratios:
        return torch.ones(len(image))
    return torch.stack(ratios).mean(dim=0)


def strips(image: Tensor) -> Tensor:
    """Upright strips one native window wide, side by side: (B, N, 3, H, 128); what is left at the right is dropped."""
    count = image.shape[-1] // REGION
    return image[..., : count * REGION].unflatten(-1, (count, REGION)).permute(0, 3, 1, 2, 4)


def palette_statistics(image: Tensor) -> Tensor:
    """The palette of pictures (..., 3, H, W): mean and standard deviation of each channel, (..., 6)."""
    return torch.cat([image.mean(dim=(-2, -1)), image.std(dim=(-2, -1))], dim=-1)


def palette_distance(image: Tensor) -> Tensor:
    """How much the palette changes along the panorama: RGB units, 0 to about 1.

    The Euclidean distance of the `palette_statistics` of two `strips` that do not touch, averaged over all such pairs.
    0 for a picture narrower than three windows.
    """
    return _mean_over_pairs(palette_statistics(strips(image)), apart=2)


def style_distance(image: Tensor) -> Tensor:
    """How much the texture changes along the panorama: 0 (the same everywhere) to 2.

    A style loss (Gatys et al. 2016) without a network: in place of its feature maps stand the steps of colour from
    pixel to pixel, to the right and down, of the picture at full, half, quarter and eighth resolution. Compared are
    the Gram matrices of two `strips` that do not touch, by the norm of their difference over the mean of their norms;
    averaged over resolutions and pairs. The palette has no part in it.
    """
    parts = strips(image)
    total = torch.zeros(len(image))
    for level in range(STYLE_LEVELS):
        small = nn.functional.avg_pool2d(parts.flatten(0, 1), 2**level).unflatten(0, parts.shape[:2])
        steps = torch.cat([small.diff(dim=-1)[..., :-1, :], small.diff(dim=-2)[..., :-1]], dim=2).flatten(3)
        gram = steps @ steps.transpose(2, 3) / steps.shape[3]
        total += _mean_over_pairs(gram.flatten(2), apart=2, relative=True)
    return total / STYLE_LEVELS


def neighbour_distance(image: Tensor) -> Tensor:
    """How abruptly the palette changes: as `palette_distance`, but of `strips` that touch."""
    statistics = palette_statistics(strips(image))
    return (statistics[:, 1:] - statistics[:, :-1]).norm(dim=2).mean(dim=1)


def palette_diversity(images: Tensor) -> Tensor:
    """How much the palette of each picture differs from those of the others: `palette_distance` between pictures."""
    statistics = palette_statistics(images)
    return torch.cdist(statistics, statistics).sum(dim=1) / (len(images) - 1)


def _mean_over_pairs(statistics: Tensor, apart: int, relative: bool = False) -> Tensor:
    """(B, N, D) to (B,): the mean distance of two of the N that lie at least `apart` places from each other."""
    distance = torch.cdist(statistics, statistics)
    if relative:
        norm = statistics.norm(dim=2)
        distance = 2 * distance / (norm[:, :, None] + norm[:, None]).clamp(min=1e-12)
    i, j = torch.triu_indices(*distance.shape[1:], offset=apart)
    return distance[:, i, j].mean(dim=1) if len(i) else torch.zeros(len(distance))


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
    windows = torch.cat([strips(row).flatten(0, 1) for row in image.split(REGION, dim=2) if row.shape[2] == REGION])
    deviation = palette_deviation(windows, prompt)
    return deviation.unflatten(0, (-1, len(image), image.shape[3] // REGION)).mean(dim=(0, 2))


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
    mean = nn.functional.avg_pool2d(nn.functional.pad(image, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return (image - mean).square().mean(dim=(1, 2, 3)).sqrt()


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

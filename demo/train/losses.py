"""What a picture that went through the autoencoder has to be like."""

from functools import partial

from torch import Tensor, nn

from ..autoencoder import PIXELS_PER_CELL


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 of the colours, of differences between neighbours (sharpness) and of two coarser scales (tone)."""
    loss = (output - target).abs().mean()
    for dim in (2, 3):
        loss = loss + 0.8 * (output.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
    for size in (2, 4):
        pool = nn.functional.avg_pool2d
        loss = loss + 0.5 * (pool(output, size) - pool(target, size)).abs().mean()
    return loss


def texture_loss(output: Tensor, target: Tensor) -> Tensor:
    """Difference of the contrast between neighbours, as a mean over 8 x 8 pixels.

    L1 alone is least for a blur where details are uncertain. This loss wants as much contrast as the picture has.
    """
    loss = output.new_zeros(())
    for distance in (1, 2):
        for dim in (2, 3):
            detail = []
            for image in (output, target):
                far = image.narrow(dim, distance, image.shape[dim] - distance)
                step = far - image.narrow(dim, 0, image.shape[dim] - distance)
                detail.append(nn.functional.avg_pool2d(step.abs(), PIXELS_PER_CELL))
            loss = loss + (detail[0] - detail[1]).abs().mean()
    return loss


def lattice_loss(output: Tensor, target: Tensor) -> Tensor:
    """How much the error repeats from cell to cell, against chance: log(1 + ratio), so log 2 for an error by chance.

    A pattern of a hundredth of a grey level that stands in every cell is seen in smooth places. All other losses are
    blind to it, for it adds nearly nothing to the error of a pixel. It is sought in the whole picture, where the
    weakest is found, and in each part of 4 x 4 cells, where one layer may have a pattern of its own.
    """
    error = (output - target).mean(dim=1, keepdim=True)
    phases = nn.functional.pixel_unshuffle(error, PIXELS_PER_CELL)  # one channel for each pixel of a cell
    phases = phases - phases.mean(dim=1, keepdim=True)  # the tone of a cell is no pattern
    loss = output.new_zeros(())
    for size in (tuple(phases.shape[-2:]), (4, 4)):
        pool = partial(nn.functional.avg_pool2d, kernel_size=size)
        pattern = pool(phases).square().mean(dim=1)
        # Detached: else a few white cells, a large error by chance, would be the way to a small ratio.
        by_chance = pool(phases.detach().square()).mean(dim=1) / (size[0] * size[1])
        loss = loss + (pattern / by_chance.clamp(min=1e-12)).log1p().mean() / 2
    return loss

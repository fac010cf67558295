"""What a picture that went through the autoencoder has to be like."""

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
    blind to it, for it adds nearly nothing to the error of a pixel.
    """
    error = (output - target).mean(dim=1)
    cells = error.unflatten(1, (-1, PIXELS_PER_CELL)).unflatten(3, (-1, PIXELS_PER_CELL))
    pattern = cells.mean(dim=(1, 3))
    pattern = pattern - pattern.mean(dim=(1, 2), keepdim=True)
    by_chance = error.square().mean(dim=(1, 2)) / (cells.shape[1] * cells.shape[3])
    return (pattern.square().mean(dim=(1, 2)) / by_chance.clamp(min=1e-12)).log1p().mean()


class Critic(nn.Module):
    """Tells true pictures from decoded ones, place by place (PatchGAN: Isola et al. 2017); only needed in training."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96)) -> None:
        super().__init__()
        a, b, c = widths
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, a, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(a, b, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(b, c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(c, 1, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to scores (B, 1, H/8, W/8), positive for true pictures."""
        return self.layers(image)


def critic_loss(true: Tensor, decoded: Tensor) -> Tensor:
    """The hinge loss of the critic, from its scores."""
    return (1 - true).clamp(min=0).mean() + (1 + decoded).clamp(min=0).mean()

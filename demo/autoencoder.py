"""Images to latents and back, 8 x 8 pixels to a cell of 8 channels.

Nothing here looks further than a few cells (no attention, no normalisation over space), so decoding a canvas in
pieces is exact as soon as the pieces overlap by the receptive field.
"""

import torch
from torch import Tensor, nn

PIXELS_PER_CELL = 8  # pixels per latent cell
CHANNELS = 8
DECODER_RADIUS = 4  # latent cells: a pixel depends on the cells at most this far from its own
CONTRAST = 4.0  # images enter as (x - 0.5) * CONTRAST, about unit standard deviation


class Block(nn.Module):
    """Residual block with one 3x3 convolution, so that depth costs little receptive field."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width, h, w) to the same shape."""
        return x + self.mix(nn.functional.silu(self.spread(nn.functional.silu(x))))


class Autoencoder(nn.Module):
    """Deterministic; latents leave with zero mean and unit standard deviation per channel."""

    shift: Tensor
    scale: Tensor
    half_matrix: Tensor
    half_offset: Tensor

    def __init__(self, channels: int = CHANNELS, coarse: int = 128, fine: int = 64, finest: int = 16) -> None:
        super().__init__()
        self.channels = channels
        # Most work happens at a quarter of the resolution, where convolutions are cheap.
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            Block(fine),
            Block(fine),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, coarse, 1),
            Block(coarse),
            Block(coarse),
            nn.Conv2d(coarse, channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, coarse, 3, padding=1),  # 1 cell
            Block(coarse),  # 1 cell
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            Block(fine),  # half a cell, and so is the next one
            Block(fine),
            nn.Conv2d(fine, 16 * finest, 1),
            nn.PixelShuffle(4),
            Block(finest),  # a pixel, and so is the next one; without them the cells of 4 x 4 pixels show
            nn.Conv2d(finest, 3, 3, padding=1),
        )
        self.register_buffer("shift", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        # From the latent of a picture at half its size to the mean over 2 x 2 cells of its own: matrix z + offset.
        self.register_buffer("half_matrix", torch.eye(channels))
        self.register_buffer("half_offset", torch.zeros(channels))

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, C, H/8, W/8)."""
        height, width = image.shape[-2:]
        if height % PIXELS_PER_CELL or width % PIXELS_PER_CELL:
            raise ValueError(
                f"image: height and width must be multiples of {PIXELS_PER_CELL} pixels, got {height} x {width}."
            )
        return (self.encoder((image - 0.5) * CONTRAST) - self.shift) * self.scale

    def decode(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, 8h, 8w), about in [0, 1]; clamp before showing."""
        return self.decoder(latent / self.scale + self.shift) / CONTRAST + 0.5

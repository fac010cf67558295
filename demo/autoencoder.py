"""The autoencoder: 8 x 8 pixels become one latent cell of 8 channels.

The receptive field is a few cells (no attention, no normalisation over space). So a canvas that is decoded in windows
equals one that is decoded at once, if the context of the windows covers the receptive field.
"""

import torch
from torch import Tensor, nn

PIXELS_PER_CELL = 8  # pixels per latent cell
CHANNELS = 8
CONTRAST = 4.0  # the input is (image - 0.5) * CONTRAST, with a standard deviation of about 1


class Block(nn.Module):
    """A residual block with a single 3 x 3 convolution, for a small receptive field."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width, h, w) to the same shape."""
        return x + self.mix(nn.functional.silu(self.spread(nn.functional.silu(x))))


class Autoencoder(nn.Module):
    """Deterministic. Latents have mean 0 and standard deviation 1 in every channel."""

    shift: Tensor
    scale: Tensor
    half_matrix: Tensor
    half_offset: Tensor

    def __init__(self, channels: int = CHANNELS, coarse: int = 128, fine: int = 64, finest: int = 16) -> None:
        super().__init__()
        self.channels = channels
        # Most layers work at a quarter of the resolution, where convolutions are cheap.
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
            nn.Conv2d(channels, coarse, 3, padding=1),  # reaches 1 cell further
            Block(coarse),  # 1 cell
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            Block(fine),  # half a cell
            Block(fine),
            nn.Conv2d(fine, 16 * finest, 1),
            nn.PixelShuffle(4),
            Block(finest),  # a pixel; without this and the next layer, blocks of 4 x 4 pixels show
            nn.Conv2d(finest, 3, 3, padding=1),
        )
        self.register_buffer("shift", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        # The map of `core.methods.scale_map`: matrix z + offset.
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

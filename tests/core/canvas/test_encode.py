"""Encoding in windows against encoding at once."""

import pytest
import torch
from joint_diffusion.core.canvas.decode import DecodeParams, decode_plan
from joint_diffusion.core.canvas.encode import encode_in_windows
from joint_diffusion.core.canvas.windows import NO_WRAP, Size, Wrap
from torch import nn

PIXELS_PER_CELL = 4
REACH = 2  # latent cells that a cell of `ConvEncoder` depends on, in each direction


class ConvEncoder(nn.Module):
    """One convolution on pixels and one on cells: a cell depends on the pixels up to two cells away."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.pixels = nn.Conv2d(3, 3, 3, padding=1).double()
        self.cells = nn.Conv2d(3 * PIXELS_PER_CELL**2, 4, 3, padding=1).double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 5
        self.requires_grad_(False)
        self.views = []

    def forward(self, pixels):
        self.views.append(Size(*pixels.shape[-2:]))
        return self.cells(nn.functional.pixel_unshuffle(torch.tanh(self.pixels(pixels)), PIXELS_PER_CELL))


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def encode_at_once(pixels, wrap):
    """The slow truth: the picture with enough of itself put around it where it wraps, encoded in one piece."""
    rows, columns = REACH * wrap.y, REACH * wrap.x
    around = [PIXELS_PER_CELL * cells for cells in (columns, columns, rows, rows)]
    latent = ConvEncoder()(nn.functional.pad(pixels, around, mode="circular"))
    return latent[..., rows : latent.shape[-2] - rows, columns : latent.shape[-1] - columns]


@pytest.mark.parametrize("wrap", [NO_WRAP, Wrap(x=True), Wrap(y=True), Wrap(True, True)], ids=str)
@pytest.mark.parametrize(("canvas", "blend"), [((8, 8), 0), ((12, 40), 1), ((33, 17), 3), ((10, 8), 4)])
def test_an_encoder_of_short_reach_gives_the_same_in_windows(canvas, blend, wrap):
    pixels, encoder = randn(2, 3, *(PIXELS_PER_CELL * side for side in canvas)), ConvEncoder()
    params = DecodeParams(window=Size(10, 12), context=REACH, blend=blend, wrap=wrap)
    latent = encode_in_windows(pixels, encoder, PIXELS_PER_CELL, params)
    torch.testing.assert_close(latent, encode_at_once(pixels, wrap), rtol=0, atol=1e-12)
    assert max(view.height for view in encoder.views) <= 10 * PIXELS_PER_CELL
    assert max(view.width for view in encoder.views) <= 12 * PIXELS_PER_CELL
    assert len(encoder.views) == len(decode_plan(Size(*canvas), params))


def test_one_window_is_the_plain_encode_bit_for_bit():
    pixels = randn(2, 3, 36, 120)
    params = DecodeParams(window=Size(9, 30), context=4, blend=4)
    assert torch.equal(encode_in_windows(pixels, ConvEncoder(), PIXELS_PER_CELL, params), ConvEncoder()(pixels))


def test_pixels_that_are_no_whole_cells_are_refused():
    with pytest.raises(ValueError, match="image: both sides must be multiples of 4 pixels, a latent cell, got 32 x 30"):
        encode_in_windows(randn(1, 3, 30, 32), ConvEncoder(), PIXELS_PER_CELL, DecodeParams(window=Size(8, 8)))

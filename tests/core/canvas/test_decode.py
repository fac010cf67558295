"""Decoding in windows against decoding at once."""

from dataclasses import replace

import pytest
import torch
from joint_diffusion.core.canvas.decode import DecodeParams, decode_in_windows, decode_plan, largest_window
from joint_diffusion.core.canvas.windows import NO_WRAP, Size, Wrap
from torch import nn

PIXELS_PER_CELL = 4
REACH = 2  # latent cells that a pixel of `ConvDecoder` depends on, in each direction


class ConvDecoder(nn.Module):
    """One convolution on cells and one on pixels: a pixel depends on the cells up to two away."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.cells = nn.Conv2d(4, 3 * PIXELS_PER_CELL**2, 3, padding=1).double()
        self.pixels = nn.Conv2d(3, 3, 3, padding=1).double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 5
        self.requires_grad_(False)
        self.views = []

    def forward(self, latent):
        self.views.append(Size(*latent.shape[-2:]))
        return self.pixels(torch.tanh(nn.functional.pixel_shuffle(self.cells(latent), PIXELS_PER_CELL)))


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def decode_at_once(latent, wrap):
    """The slow truth: the canvas with enough of itself put around it where it wraps, decoded in one piece."""
    rows, columns = REACH * wrap.y, REACH * wrap.x
    padded = nn.functional.pad(latent, (columns, columns, rows, rows), mode="circular")
    pixels = ConvDecoder()(padded)
    height, width = latent.shape[-2] * PIXELS_PER_CELL, latent.shape[-1] * PIXELS_PER_CELL
    return pixels[
        ...,
        rows * PIXELS_PER_CELL : rows * PIXELS_PER_CELL + height,
        columns * PIXELS_PER_CELL : columns * PIXELS_PER_CELL + width,
    ]


@pytest.mark.parametrize(
    ("canvas", "blend", "wrap"),
    [
        ((8, 8), 1, NO_WRAP),  # one window
        ((8, 8), 0, Wrap(True, True)),
        ((12, 40), 3, NO_WRAP),
        ((12, 40), 0, Wrap(x=True)),
        ((12, 40), 3, Wrap(True, True)),
        ((33, 17), 1, Wrap(y=True)),
        ((33, 17), 0, NO_WRAP),
        ((9, 61), 3, Wrap(x=True)),
        ((9, 61), 1, Wrap(True, True)),
        ((9, 61), 3, Wrap(y=True)),
    ],
    ids=str,
)
def test_a_decoder_of_short_reach_gives_the_same_in_windows(canvas, blend, wrap):
    latent, decoder = randn(2, 4, *canvas), ConvDecoder()
    params = DecodeParams(window=Size(10, 12), context=REACH, blend=blend, wrap=wrap)
    pixels = decode_in_windows(latent, decoder, params)
    torch.testing.assert_close(pixels, decode_at_once(latent, wrap), rtol=0, atol=1e-12)
    assert max(view.height for view in decoder.views) <= 10
    assert max(view.width for view in decoder.views) <= 12
    assert len(decoder.views) == len(decode_plan(Size(*canvas), params))


def test_too_little_context_shows():
    latent = randn(1, 4, 8, 40)
    params = DecodeParams(window=Size(8, 12), context=0, blend=2)
    assert (decode_in_windows(latent, ConvDecoder(), params) - decode_at_once(latent, NO_WRAP)).abs().max() > 0.1


def test_one_window_is_the_plain_decode_bit_for_bit():
    latent = randn(2, 4, 9, 30)
    params = DecodeParams(window=Size(9, 30), context=4, blend=4)
    assert torch.equal(decode_in_windows(latent, ConvDecoder(), params), ConvDecoder()(latent))


@pytest.mark.parametrize("wrap", [NO_WRAP, Wrap(x=True), Wrap(True, True)], ids=str)
def test_windows_that_disagree_fade_into_each_other(wrap):
    tones = iter(range(10**6))
    blend = 4

    def decoder(latent):  # every call has another tone, as group norms do
        return torch.full(
            (1, 3, latent.shape[-2] * PIXELS_PER_CELL, latent.shape[-1] * PIXELS_PER_CELL), float(next(tones) % 2)
        )

    params = DecodeParams(window=Size(16, 16), context=2, blend=blend, wrap=wrap)
    pixels = decode_in_windows(randn(1, 4, 40, 44), decoder, params)
    steepest = 1 / (blend * PIXELS_PER_CELL)  # of a linear fade between 0 and 1
    for dim, wraps in ((-2, wrap.y), (-1, wrap.x)):
        steps = pixels.roll(-1, dim) - pixels
        steps = steps if wraps else steps.narrow(dim, 0, steps.shape[dim] - 1)
        assert steps.abs().max() <= steepest + 1e-6


def test_frames_and_dtype_are_kept():
    latent = torch.zeros(2, 16, 3, 8, 40)

    def decoder(view):  # (B, C, T, h, w) -> (B, T, 3, 8 h, 8 w)
        return torch.ones(2, 3, 3, view.shape[-2] * 8, view.shape[-1] * 8, dtype=torch.float16)

    pixels = decode_in_windows(latent, decoder, DecodeParams(window=Size(8, 16), context=2, blend=2))
    assert pixels.shape == (2, 3, 3, 64, 320)
    assert pixels.dtype == torch.float16
    assert (pixels == 1).all()


def test_the_largest_window_is_what_fits():
    params = DecodeParams(window=Size(0, 0), context=8)
    assert largest_window(Size(128, 1000), params, lambda window: True) == Size(128, 1000)
    window = largest_window(Size(128, 1000), params, lambda window: window.height * window.width <= 20000)
    assert window == Size(128, 125)
    assert largest_window(Size(128, 1000), params, lambda window: False) == Size(64, 64)
    assert largest_window(Size(40, 1000), params, lambda window: False) == Size(40, 64)
    wide = DecodeParams(window=Size(0, 0), context=40, blend=16)  # what they take leaves nothing of 64 cells
    window = largest_window(Size(128, 1000), wide, lambda window: False)
    assert window == Size(97, 97)
    assert decode_plan(Size(128, 1000), replace(wide, window=window))
    wrapped = DecodeParams(window=Size(0, 0), context=8, wrap=Wrap(x=True))
    whole = largest_window(Size(64, 256), wrapped, lambda window: True)
    assert len(decode_plan(Size(64, 256), replace(wrapped, window=whole))) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"window": Size(8, 20), "context": 8, "blend": 8},
            r"width: .*larger than twice the context \(8\).*at least 25.*got 20",
        ),
        ({"window": Size(8, 64), "context": -1}, r"context: must be 0 or more latent cells, got -1"),
        ({"window": Size(8, 64), "blend": -2}, r"blend: must be 0 or more latent cells, got -2"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        decode_plan(Size(8, 100), DecodeParams(**settings))

"""Fusing from top to bottom against fusing all at once."""

import gc
import weakref

import pytest
import torch
from joint_diffusion.core.canvas.bands import fuse_in_bands
from joint_diffusion.core.canvas.decode import DecodeParams, decode_in_bands, decode_in_windows, decode_plan
from joint_diffusion.core.canvas.fusion import fuse, shared_weights
from joint_diffusion.core.canvas.windows import NO_WRAP, Size, Wrap, plan_windows

BOTH = Wrap(True, True)


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("wrap", [NO_WRAP, Wrap(x=True), Wrap(y=True), BOTH], ids=str)
@pytest.mark.parametrize(
    ("canvas", "window", "stride"),
    [
        ((12, 9), (12, 9), (12, 9)),  # one window
        ((30, 9), (12, 9), (12, 9)),  # side by side, the last one closer
        ((30, 25), (12, 10), (9, 7)),
        ((31, 25), (12, 10), (3, 2)),  # four windows on one place: several rows of them cross the edge
        ((13, 11), (12, 10), (1, 10)),
    ],
    ids=str,
)
def test_it_is_the_weighted_average_of_all_windows(canvas, window, stride, wrap):
    canvas = Size(*canvas)
    windows = plan_windows(canvas, Size(*window), Size(*stride), wrap)
    views = dict(zip(windows, randn(len(windows), 1, 2, *windows[0].size), strict=True))
    whole = randn(1, 2, *canvas)
    expected = fuse(whole, torch.cat([*views.values()]), windows, shared_weights("feathered", windows, whole))
    asked = []
    bands = [*fuse_in_bands(canvas, windows, lambda one: asked.append(one) or views[one].clone())]
    torch.testing.assert_close(torch.cat(bands, -2), expected, rtol=0, atol=1e-6)  # float32 weights there
    assert sorted(asked) == sorted(windows), "each window once"
    assert len(bands) == len({one.top for one in windows})


def enlarged(view):
    return torch.nn.functional.interpolate(view, scale_factor=4)


@pytest.mark.parametrize("wrap", [NO_WRAP, BOTH], ids=str)
def test_bands_are_the_rows_of_the_decoded_canvas(wrap):
    latent = randn(2, 3, 40, 30)
    params = DecodeParams(window=Size(14, 12), context=2, blend=2, wrap=wrap)
    bands = [*decode_in_bands(latent, enlarged, params)]
    assert len(bands) > 2
    assert torch.equal(torch.cat(bands, -2), decode_in_windows(latent, enlarged, params))
    torch.testing.assert_close(torch.cat(bands, -2), enlarged(latent), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrap", [NO_WRAP, Wrap(y=True)], ids=str)
def test_a_row_of_windows_is_gone_before_the_next_one_is_decoded(wrap):
    """Of those that cross an edge, one is kept for the end."""
    latent, made = randn(1, 3, 80, 12), []
    params = DecodeParams(window=Size(14, 12), context=2, blend=2, wrap=wrap)

    def decoder(view):
        gc.collect()
        alive = [band for band in made if band() is not None]
        assert len(alive) <= wrap.y
        return enlarged(view)

    for band in decode_in_bands(latent, decoder, params):
        made.append(weakref.ref(band._base if band._base is not None else band))
        del band
    assert len(made) == len(decode_plan(Size(80, 12), params)) > 5

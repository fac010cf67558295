"""VAE encode in windows on the real VAEs of the host, tiny."""

import pytest
import tiny_models
import torch
from joint_diffusion.nodes.panorama_encode import PanoramaEncode

pytestmark = pytest.mark.usefixtures("inference_mode")


def picture(height=64, width=256, batch=1):
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(0))


def encode(vae, image, **options):
    return PanoramaEncode.execute(image, vae, **options).args[0]["samples"]


@pytest.mark.parametrize("make_vae", [tiny_models.vae, tiny_models.video_vae])
def test_what_fits_in_one_window_is_the_plain_encode(make_vae):
    vae, images = make_vae(), picture(batch=2)
    expected = torch.cat([vae.encode(image[None]) for image in images])
    assert torch.equal(encode(vae, images), expected)


def test_a_batch_is_no_film_for_a_video_vae_and_the_log_says_so(caplog):
    vae, film = tiny_models.video_vae(), picture(64, 64, batch=5)
    assert encode(vae, film).shape[:3] == (5, 16, 1)
    (record,) = caplog.records
    assert "image: the 5 pictures are encoded each by itself, not as a film" in record.getMessage()
    caplog.clear()
    encode(vae, film[:1])
    encode(tiny_models.vae(), film)
    assert not caplog.records


@pytest.mark.parametrize("padded_by_the_host", [False, True])
def test_a_picture_is_opaque_for_a_vae_with_transparency(padded_by_the_host):
    vae, image = tiny_models.video_vae(transparent=True), picture()
    expected = vae.encode(torch.cat([image, torch.ones(1, 64, 256, 1)], dim=-1))
    if not padded_by_the_host:
        vae.pad_channel_value = None
    assert torch.equal(encode(vae, image), expected)


def test_windows_cover_the_picture_and_wrap():
    vae, image = tiny_models.vae(), picture(64, 512)
    whole, windows = encode(vae, image), encode(vae, image, window=320)
    assert windows.shape == whole.shape
    inside = (windows - whole)[..., 8:-8]
    assert inside.abs().mean() < 0.5 * whole.std()  # a tiny VAE has statistics of the whole picture
    rolled = encode(vae, image.roll(256, 2), wrap_x=True, window=320)
    closed = encode(vae, image, wrap_x=True, window=320)
    assert (rolled - closed.roll(32, -1)).abs().mean() < 0.5 * whole.std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 192}, r"window: must be at least \d+ pixels here"),
        ({"image": picture(64, 64)[:0]}, r"image: must be at least 1 picture, got an empty batch"),
        ({"image": picture(60, 64)}, r"image: both sides must be multiples of 8 pixels, .* got 64 x 60; resize"),
    ],
)
def test_bad_input(options, message):
    image = options.pop("image", picture(512, 512))
    with pytest.raises(ValueError, match=message):
        encode(tiny_models.vae(), image, **options)

"""PanoramaDecode against the host's own VAE Decode."""

import comfy.model_management
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes.host.vae import SHARE, decodes_in_memory
from joint_diffusion.nodes.panorama_decode import PanoramaDecode

import nodes as host_nodes


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


def decode(vae, latent, **options):
    return PanoramaDecode.execute({"samples": latent}, vae, **options)[0]


def plain(vae, latent):
    return host_nodes.VAEDecode().decode(vae, {"samples": latent})[0]


CASES = {"vae": (2, 4, 8, 24), "video_vae": (2, 16, 1, 8, 24), "film": (1, 16, 3, 8, 12)}


@pytest.mark.parametrize("case", CASES)
def test_what_fits_in_one_window_is_the_plain_decode(case):
    vae, latent = getattr(tiny_models, "vae" if case == "vae" else "video_vae")(), randn(*CASES[case])
    image = decode(vae, latent)
    assert torch.equal(image, plain(vae, latent))
    assert image.dtype == torch.float32


def test_windows_of_a_vae_without_global_statistics_are_the_plain_decode():
    vae, latent = (
        tiny_models.video_vae(),
        randn(1, 16, 1, 8, 80),
    )  # its norms look at one pixel, attention is in the middle
    torch.nn.init.zeros_(vae.first_stage_model.decoder.middle[1].proj.weight)
    image = decode(vae, latent, window=384, context=96, blend=32)
    torch.testing.assert_close(image, plain(vae, latent), rtol=0, atol=1e-5)


def test_wrapped_windows_meet_where_the_plain_decode_has_an_edge():
    vae, latent = tiny_models.video_vae(), randn(1, 16, 1, 8, 64)
    torch.nn.init.zeros_(vae.first_stage_model.decoder.middle[1].proj.weight)
    settings = {"wrap_x": True, "window": 320, "context": 96, "blend": 32}
    turned = decode(vae, latent.roll(20, -1), **settings).roll(-160, 2)
    torch.testing.assert_close(decode(vae, latent, **settings), turned, rtol=0, atol=1e-5)
    assert not torch.allclose(plain(vae, latent), plain(vae, latent.roll(20, -1)).roll(-160, 2), atol=1e-3)


def test_the_automatic_window_is_what_the_host_thinks_fits(monkeypatch):
    vae, latent, sizes = tiny_models.vae(), randn(1, 4, 64, 256), []
    total = (vae.memory_used_decode((1, 4, 64, 150), vae.vae_dtype) + vae.model_size()) / SHARE
    monkeypatch.setattr(comfy.model_management, "get_total_memory", lambda *_, **__: total)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *_, **__: 0)  # of no account
    monkeypatch.setattr(
        vae, "decode", lambda view: sizes.append(view.shape[-2:]) or torch.zeros(1, 8 * 64, 8 * view.shape[-1], 3)
    )
    assert not decodes_in_memory(vae, latent, Size(64, 151))
    assert decode(vae, latent).shape == (1, 512, 2048, 3)
    assert len(sizes) > 1
    assert max(width for _, width in sizes) == 128


def test_interrupting_stops_between_windows(monkeypatch):
    vae, calls = tiny_models.vae(), []
    whole = vae.decode

    def interrupted_decode(view):
        calls.append(view)
        comfy.model_management.interrupt_current_processing()
        return whole(view)

    monkeypatch.setattr(vae, "decode", interrupted_decode)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        decode(vae, randn(1, 4, 8, 100), window=256)
    assert len(calls) == 1
    assert not comfy.model_management.processing_interrupted()


def test_an_empty_batch_is_named():
    with pytest.raises(ValueError, match="samples: must be at least 1 picture, got an empty batch; connect one"):
        decode(tiny_models.vae(), randn(0, 4, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 100}, r"window: must be a multiple of 8 pixels.*nearest: 96 or 104"),
        ({"window": -8}, r"window: .*at least 0, got -8; nearest: 0"),
        ({"context": 3}, r"context: must be a multiple of 8 pixels.*got 3"),
        ({"blend": -8}, r"blend: .*at least 0, got -8"),
        (
            {"window": 192},
            r"window: must be at least 200 pixels here .*twice context 64, plus blend 64, .*got 192; make window",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        decode(tiny_models.vae(), randn(1, 4, 8, 100), **settings)

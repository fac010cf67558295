"""The bundled model on the host against the same model without it."""

import pytest
import torch
from joint_diffusion.demo.pipeline import LandscapePipeline
from joint_diffusion.demo.sampling import euler, karras_sigmas, starting_noise
from joint_diffusion.demo.vocabulary import LANDSCAPE_WORDS, LENGTH
from joint_diffusion.nodes.load_demo_model import LoadDemoModel

import nodes as host_nodes

PROMPT = "an autumn lake at dusk, wide"


@pytest.fixture(scope="module")
def loaded():
    with torch.inference_mode():
        return LoadDemoModel.execute().args


@pytest.fixture(scope="module")
def pipeline():
    return LandscapePipeline()


def encode(clip, text):
    return host_nodes.CLIPTextEncode().encode(clip, text)[0]


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_ksampler_paints_what_the_pipeline_paints(loaded, pipeline, cfg):
    model, clip, _ = loaded
    empty = host_nodes.EmptyLatentImage().generate(256, 128)[0]
    with torch.inference_mode():
        (latent,) = host_nodes.KSampler().sample(
            model, 7, 8, cfg, "euler", "karras", encode(clip, PROMPT), encode(clip, ""), empty
        )
    sigmas = karras_sigmas(8)
    with torch.no_grad():
        context = pipeline.encode([PROMPT])
        expected = euler(
            lambda x, sigma, _: pipeline.denoise(x, sigma, context, cfg),
            starting_noise((1, 8, 16, 32), 7, sigmas[0]),
            sigmas,
        )
    torch.testing.assert_close(latent["samples"], expected, rtol=0, atol=1e-3)
    assert expected.std() > 0.3


def test_the_vae_is_the_pipeline_s(loaded, pipeline):
    vae = loaded[2]
    latent = torch.randn(2, 8, 8, 16, generator=torch.Generator().manual_seed(0))
    image = host_nodes.VAEDecode().decode(vae, {"samples": latent})[0]
    torch.testing.assert_close(image.movedim(-1, 1), pipeline.decode(latent), rtol=0, atol=1e-4)
    again = host_nodes.VAEEncode().encode(vae, image)[0]["samples"]
    torch.testing.assert_close(again, pipeline.autoencoder.encode(image.movedim(-1, 1)), rtol=0, atol=1e-4)


def test_an_empty_prompt_is_no_prompt(loaded):
    assert encode(loaded[1], "")[0][0].count_nonzero() == 0


def test_word_weights_scale_the_word(loaded):
    clip = loaded[1]
    plain, heavy = (encode(clip, text)[0][0] for text in ("winter lake", "winter (lake:1.5)"))
    torch.testing.assert_close(heavy[:, 0], plain[:, 0])
    torch.testing.assert_close(heavy[:, 1], 1.5 * plain[:, 1])
    ids = LANDSCAPE_WORDS.ids
    assert clip.tokenize("(a (lake:0.5) in winter)")["landscape"][0][:2] == [(ids["lake"], 0.5), (ids["winter"], 1.1)]


def test_unknown_words_are_reported(loaded, caplog):
    encode(loaded[1], "a spaceship over a lake")
    assert "does not know spaceship" in caplog.text


def test_words_beyond_the_length_are_reported_however_they_are_weighted(loaded, caplog):
    words = LANDSCAPE_WORDS.words[: LENGTH + 2]
    text = f"({' '.join(words[:8])}:1.2) {' '.join(words[8:])}"
    assert loaded[1].tokenize(text) == loaded[1].tokenize(f"({' '.join(words[:8])}:1.2) {' '.join(words[8:LENGTH])}")
    assert [text for text in caplog.messages if f"ignored: {words[-2]}, {words[-1]}." in text]


def test_the_preview_shows_the_colours(loaded):
    model, _, vae = loaded
    latent_format = model.get_model_object("latent_format")
    latent = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    latent = torch.nn.functional.interpolate(latent[..., ::8, ::8], scale_factor=8)  # calm, as pictures are
    factors = torch.tensor(latent_format.latent_rgb_factors)
    preview = latent.movedim(1, -1) @ factors + torch.tensor(latent_format.latent_rgb_factors_bias)
    picture = torch.nn.functional.avg_pool2d(vae.decode(latent).movedim(-1, 1), 8).movedim(1, -1) * 2 - 1
    assert (preview - picture).abs().mean() < 0.5 * (picture - picture.mean()).abs().mean()

import pytest
import torch
from joint_diffusion.demo.autoencoder import CHANNELS
from joint_diffusion.demo.metrics import palette_deviation
from joint_diffusion.demo.model import LandscapeUNet
from joint_diffusion.demo.pipeline import DENOISER, LandscapePipeline, loaded, read_weights
from joint_diffusion.demo.sampling import euler, karras_sigmas, starting_noise
from torch.testing import assert_close


@pytest.fixture(scope="module")
def pipeline():
    return LandscapePipeline()


def sample(pipeline, prompt, cfg=2.0):
    context, sigmas = pipeline.encode([prompt]), karras_sigmas(10)
    with torch.no_grad():
        noise = starting_noise((2, CHANNELS, 16, 16), 3, sigmas[0])
        return pipeline.decode(euler(lambda x, s, _: pipeline.denoise(x, s, context, cfg), noise, sigmas))


def test_the_weights_are_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in DENOISER.parent.iterdir()) < 10e6


def test_prompts_set_the_palette(pipeline):
    day, night = sample(pipeline, "summer day"), sample(pipeline, "winter night")
    assert palette_deviation(day, "summer day").mean() < 0.6 * palette_deviation(day, "winter night").mean()
    assert palette_deviation(night, "winter night").mean() < 0.6 * palette_deviation(night, "summer day").mean()


def test_batched_views_equal_single_ones(pipeline):
    x, context = torch.randn(3, CHANNELS, 16, 16), pipeline.encode(["autumn dawn"])
    with torch.no_grad():
        together = pipeline.denoise(x, 1.5, context, 2.0)
        alone = torch.cat([pipeline.denoise(view[None], 1.5, context, 2.0) for view in x])
    assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_at_scale_one_the_uncond_answer_does_not_matter(pipeline):
    x, context = torch.randn(1, CHANNELS, 16, 16), pipeline.encode(["autumn dawn"])
    with torch.no_grad():
        almost = pipeline.denoise(x, 1.0, context, 1.0 + 1e-6)
        assert_close(pipeline.denoise(x, 1.0, context, 1.0), almost, rtol=1e-3, atol=1e-4)


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"are missing; install the pack again, or make them with .*demo\.train"
    ):
        read_weights(tmp_path / "denoiser.safetensors")


def test_weights_that_were_cut_short_are_named(tmp_path):
    path = tmp_path / "denoiser.safetensors"
    path.write_bytes(DENOISER.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"denoiser.safetensors: is no whole weight file .*; install the pack again"):
        read_weights(path)


def test_weights_of_another_version_are_named():
    with pytest.raises(ValueError, match=r"of another version of the model; install the pack again"):
        loaded(LandscapeUNet(CHANNELS, widths=(8, 16, 24)), DENOISER, "unet.")

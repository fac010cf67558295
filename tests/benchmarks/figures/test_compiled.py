import pytest
import torch
from joint_diffusion.benchmarks.figures.compiled import BATCH, Compiled
from joint_diffusion.demo.autoencoder import CHANNELS
from joint_diffusion.demo.model import NATIVE
from joint_diffusion.demo.pipeline import LandscapePipeline

WORDS = torch.randn(1, 12, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pipeline(monkeypatch):
    """Its compiled model is computed line by line: a compiler takes half a minute, and changes no number by more."""
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)
    return LandscapePipeline()


@pytest.mark.parametrize("views", [1, BATCH, BATCH + 5])
def test_any_number_of_views_is_predicted_as_by_the_denoiser(pipeline, views):
    x = torch.randn(views, CHANNELS, NATIVE, NATIVE, generator=torch.Generator().manual_seed(0))
    levels = torch.linspace(-0.5, 0.5, views)
    with torch.no_grad():
        wanted = pipeline.unet(x, levels, WORDS.expand(views, -1, -1))
        given = Compiled(pipeline.unet)(x, levels, WORDS.expand(views, -1, -1))
    assert given.dtype == wanted.dtype
    assert (given - wanted).norm() < 0.02 * wanted.norm()


def test_other_sizes_and_gradients_are_left_to_the_denoiser(pipeline):
    compiled, level = Compiled(pipeline.unet), torch.zeros(1)
    wide, square = torch.randn(1, CHANNELS, 16, 32), torch.randn(1, CHANNELS, NATIVE, NATIVE, requires_grad=True)
    for x in (wide, square):
        assert torch.equal(compiled(x, level, WORDS), pipeline.unet(x, level, WORDS))
    compiled(square, level, WORDS).sum().backward()
    assert square.grad is not None
    assert square.grad.abs().sum() > 0

import pytest
import torch
from joint_diffusion.core.methods.scale_map import ScaleMap, fit_scale_map
from torch import nn

MATRIX = torch.tensor([[0.8, 0.4, 0.0], [-0.4, 0.7, 0.3], [0.0, 0.1, 1.1]], dtype=torch.float64)
OFFSET = torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_every_cell_is_mapped_by_itself(shape):
    latent = torch.randn(shape, dtype=torch.float64)
    mapped = ScaleMap(MATRIX, OFFSET)(latent)
    assert mapped.shape == latent.shape
    for picture, row, column in ((0, 0, 0), (1, 3, 4), (0, 2, 1)):
        cell = latent[picture, ..., row, column].reshape(3, -1)[:, -1]
        expected = MATRIX @ cell + OFFSET
        torch.testing.assert_close(mapped[picture, ..., row, column].reshape(3, -1)[:, -1], expected)


def test_it_takes_the_precision_of_the_latent():
    half = ScaleMap(MATRIX, OFFSET)(torch.ones(1, 3, 2, 2, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16


def encoder(large=lambda latent: latent, time=False):
    """Cells of 4 x 4 pixels; the latents of pictures of 64 x 64 pixels are changed by `large`."""

    def encode(pictures):
        latent = nn.functional.avg_pool2d(pictures, 4)
        latent = large(latent) if pictures.shape[-1] == 64 else latent
        return latent[:, :, None] if time else latent

    return encode


def pictures(seed=0):
    return torch.rand(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("time", [False, True])
def test_a_known_map_is_found(time):
    """Symmetric and positive, as the shortest way from one Gaussian to another is."""
    symmetric = MATRIX @ MATRIX.T
    found = fit_scale_map(pictures(), encoder(ScaleMap(symmetric, OFFSET), time))
    torch.testing.assert_close(found.matrix, symmetric, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.offset, OFFSET, rtol=0, atol=1e-4)


def test_any_two_sizes_get_the_same_mean_and_spread_by_the_shortest_way():
    encode = encoder(ScaleMap(MATRIX, OFFSET))
    found = fit_scale_map(pictures(), encode)
    small = encode(nn.functional.avg_pool2d(pictures(), 2))
    wanted, mapped, before = (
        latent.movedim(1, 0).flatten(1)
        for latent in (nn.functional.avg_pool2d(encode(pictures()), 2), found(small), small)
    )
    torch.testing.assert_close(mapped.mean(1), wanted.mean(1))
    torch.testing.assert_close(mapped.cov(), wanted.cov(), rtol=0, atol=1e-4 * wanted.cov().norm().item())

    def way(to):
        moves = to - before
        return (moves - moves.mean(1, keepdim=True)).square().mean()

    assert way(mapped) < 0.9 * way(wanted)


def test_a_channel_that_is_always_the_same_is_left_alone():
    """Not divided by a spread of almost nothing: what the model says of it is passed on as it is."""

    def flat(latent):
        return torch.cat([latent[:, :2], torch.full_like(latent[:, :1], 0.5)], 1)

    def encode(pictures):
        return flat(nn.functional.avg_pool2d(pictures, 4))

    found = fit_scale_map(pictures(), encode)
    torch.testing.assert_close(found.matrix, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-3)


def test_too_few_cells_are_refused():
    with pytest.raises(
        ValueError, match="map between 3 channels needs more cells than that, got 1; use more or larger"
    ):
        fit_scale_map(torch.rand(1, 3, 8, 8), lambda pictures: nn.functional.avg_pool2d(pictures, 4))


def test_latents_of_one_channel_have_a_map():
    """Twice as bright and a little more at the larger size."""
    encode = encoder(lambda latent: 2 * latent + 0.3)
    found = fit_scale_map(pictures(), lambda picture: encode(picture)[:, :1])
    torch.testing.assert_close(found.matrix, torch.tensor([[2.0]]).double(), rtol=1e-4, atol=0)

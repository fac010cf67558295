import math

import pytest
import torch
from joint_diffusion.demo.model import LandscapeUNet, denoised, network_error, scaled_input
from torch import nn
from torch.testing import assert_close


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return LandscapeUNet(channels=4, widths=(16, 16, 24), context_width=8).eval()


@pytest.mark.parametrize("size", [(16, 16), (4, 4), (12, 40), (8, 100), (16, 18), (9, 13), (5, 1)])
def test_a_canvas_of_any_size(unet, size):
    x = torch.randn(2, 4, *size)
    assert unet(x, torch.zeros(2), torch.randn(2, 3, 8)).shape == x.shape


def test_sizes_that_cannot_be_halved_are_continued_at_their_last_cells(unet):
    x, t, c = torch.randn(1, 4, 8, 10), torch.zeros(1), torch.randn(1, 3, 8)
    continued = torch.cat([x, x[..., -1:], x[..., -1:]], dim=3)
    assert_close(unet(x, t, c), unet(continued, t, c)[..., :10])


def test_views_of_a_batch_do_not_see_each_other(unet):
    x, t, c = torch.randn(3, 4, 8, 8), torch.linspace(-1, 1, 3), torch.randn(3, 5, 8)
    alone = torch.cat([unet(x[i : i + 1], t[i : i + 1], c[i : i + 1]) for i in range(3)])
    assert_close(unet(x, t, c), alone, rtol=1e-4, atol=1e-5)


def test_padding_and_repetition_of_the_context_change_nothing(unet):
    x, t, c = torch.randn(1, 4, 8, 8), torch.zeros(1), torch.randn(1, 3, 8)
    expected = unet(x, t, c)
    assert_close(unet(x, t, torch.cat([c, torch.zeros(1, 9, 8)], dim=1)), expected)
    assert_close(unet(x, t, c.repeat(1, 4, 1)), expected, rtol=1e-4, atol=1e-5)
    assert (unet(x, t, -c) - expected).abs().max() > 1e-4


def test_layers_come_from_the_given_namespace():
    made = []

    class Recording:
        def __getattr__(self, name):
            made.append(name)
            return getattr(nn, name)

    LandscapeUNet(channels=4, widths=(16, 16, 16), operations=Recording(), dtype=torch.bfloat16)
    assert set(made) == {"Conv2d", "Linear", "GroupNorm"}


def test_preconditioning_is_that_of_edm():
    # Karras et al. 2022, Table 1, with sigma_data = 1.
    x, output, sigma = torch.tensor(3.0), torch.tensor(0.7), torch.tensor(2.0)
    assert scaled_input(x, sigma).item() == pytest.approx(3 / math.sqrt(5))
    assert denoised(x, output, sigma).item() == pytest.approx(3 / 5 + 0.7 * 2 / math.sqrt(5))
    # F that is exact for N(0, 1) data is zero: D = x / (1 + sigma^2).
    assert denoised(x, torch.tensor(0.0), sigma).item() == pytest.approx(3 / 5)


def test_the_error_of_the_network_is_seen_in_its_prediction():
    x, clean, output = torch.randn(3, 2, 4, 5, 5).double()
    sigma = torch.tensor([0.1, 3.0])[:, None, None, None].double()
    exact = (clean - denoised(x, torch.zeros(()), sigma)) / denoised(torch.zeros(()), torch.ones(()), sigma)
    expected = (output - exact).square().mean(dim=(1, 2, 3))
    assert_close(network_error(denoised(x, output, sigma), clean, sigma), expected)


@pytest.mark.parametrize("level", [0.05, 1.0, 20.0])
def test_the_error_of_a_network_that_knows_nothing_is_1(level):
    clean, sigma = torch.randn(4, 8, 64, 64), torch.tensor(level)
    x = clean + sigma * torch.randn(clean.shape)
    error = network_error(denoised(x, torch.zeros(()), sigma), clean, sigma)
    assert_close(error, torch.ones(4), rtol=0.05, atol=0)

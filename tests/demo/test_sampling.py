from itertools import pairwise

import pytest
import torch
from joint_diffusion.demo.sampling import euler, karras_sigmas, starting_noise
from torch.testing import assert_close


def test_sigmas_fall_from_end_to_end_and_then_to_zero():
    sigmas = karras_sigmas(10)
    assert_close(sigmas[[0, 9, 10]], torch.tensor([80.0, 0.02, 0.0]), rtol=1e-4, atol=1e-6)
    assert (sigmas.diff() < 0).all()


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps: must be at least 1, got 0"):
        karras_sigmas(0)


def test_noise_is_that_of_a_seeded_global_generator():
    torch.manual_seed(7)
    assert_close(starting_noise((1, 2, 4, 4), 7, 3.0), torch.randn(1, 2, 4, 4) * 10**0.5)


def test_euler_follows_the_analytic_flow_of_gaussian_data():
    # Data N(mean, std^2): D = mean + std^2 / (std^2 + s^2) (x - mean); the flow scales x - mean by its deviation.
    mean, std, sigmas = 0.3, 0.8, karras_sigmas(400)

    def denoise(x, sigma, _after):
        return mean + std**2 / (std**2 + sigma**2) * (x - mean)

    x = starting_noise((1, 1, 8, 8), 0, sigmas[0])
    expected = mean + (x - mean) * std / (std**2 + sigmas[0] ** 2) ** 0.5
    assert_close(euler(denoise, x, sigmas), expected, rtol=2e-2, atol=2e-2)


def test_euler_tells_each_step_where_it_goes():
    seen, sigmas = [], karras_sigmas(3)
    euler(lambda x, sigma, after: seen.append((sigma, after)) or x, torch.zeros(1, 1, 1, 1), sigmas)
    assert seen == [(float(a), float(b)) for a, b in pairwise(sigmas)]

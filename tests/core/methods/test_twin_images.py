from itertools import pairwise

import oracles
import pytest
import torch
from analytic import convolution, single
from joint_diffusion.core.methods.twin_images import TwinImages
from joint_diffusion.core.methods.twindiffusion import CropFusionParams

SIGMAS = [14.6, 7.0, 3.0, 1.2, 0.4, 0.0]
STEPS = len(SIGMAS) - 1
DENOISE = convolution()


def twins(overlap=5, lam=1.0, stop=0.5, fixed_reference=False):
    params = CropFusionParams(adjacency=lam, stop=stop)
    return TwinImages(overlap=overlap, crop_fusion=params, fixed_reference=fixed_reference)


def noise(seed=0):
    return torch.randn(3, 3, 6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def euler(twin, rows, denoise=DENOISE):
    for index, (sigma, sigma_next) in enumerate(pairwise(SIGMAS)):
        denoised = twin.rows(denoise(twin.pictures(rows, index, STEPS), sigma), index, STEPS)
        rows = denoised + sigma_next / sigma * (rows - denoised)
    return twin.pictures(rows, STEPS, STEPS)


@pytest.mark.parametrize("fixed_reference", [False, True])
@pytest.mark.parametrize(
    ("overlap", "lam", "stop"), [(5, 1.0, 0.0), (1, 30.0, 0.25), (5, 0.1, 0.5), (12, 1.0, 0.6), (1, 0.1, 1.0)]
)
def test_equals_section_4_1(overlap, lam, stop, fixed_reference):
    twin = twins(overlap, lam, stop, fixed_reference)
    rows = SIGMAS[0] * twin.noise(noise())
    z1, z2, z3 = twin.pictures(rows, 0, STEPS)
    assert torch.equal(z1[..., -overlap:], z2[..., :overlap])
    assert torch.equal(z2, z3)
    literal = oracles.twin_images(z1, z2, SIGMAS, single(DENOISE), overlap, lam, stop, fixed_reference)
    torch.testing.assert_close(euler(twin, rows), torch.stack(literal), rtol=0, atol=1e-11)


@pytest.mark.parametrize("fixed_reference", [False, True])
def test_a_step_that_keeps_less_and_adds_noise_is_fused_as_exactly(fixed_reference):
    twin, lam = twins(fixed_reference=fixed_reference), 1.0
    rows = twin.noise(noise())
    x = twin.pictures(rows, 0, STEPS)
    for index, kept in enumerate([0.9, 0.1, 0.0, 0.5, 0.3]):
        fresh = twin.noise(noise(index + 1))
        denoised = DENOISE(twin.pictures(rows, index, STEPS), 1.0)
        rows = kept * rows + (1 - kept) * twin.rows(denoised, index, STEPS) + fresh
        x = kept * x + (1 - kept) * DENOISE(x, 1.0) + torch.stack([fresh[0], fresh[1], fresh[1]])
        if index < 3:
            x[2] = x[1] if fixed_reference else x[2]
            x[2, ..., :5] = (x[0, ..., -5:] + lam * x[2, ..., :5]) / (1 + lam)
        torch.testing.assert_close(twin.pictures(rows, index + 1, STEPS), x, rtol=0, atol=1e-12)


def test_the_first_two_pictures_are_left_alone():
    together = euler(twins(), SIGMAS[0] * twins().noise(noise()))
    x1, x2, _ = oracles.twin_images(
        *SIGMAS[0] * twins().noise(noise())[:2], SIGMAS, single(DENOISE), overlap=5, lam=1, tau=0, fixed_reference=False
    )
    torch.testing.assert_close(together[:2], torch.stack([x1, x2]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lam", "closer"), [(0.01, 1e-2), (1.0, 0.9), (1e6, 1.0)])
def test_lambda_leads_from_the_first_picture_to_the_second(lam, closer):
    x1, x2, twin = euler(twins(lam=lam, stop=1.0), SIGMAS[0] * twins().noise(noise()))
    apart = (x2[..., :5] - x1[..., -5:]).norm()
    assert (twin[..., :5] - x1[..., -5:]).norm() <= closer * apart * (1 + 1e-6)
    if lam == 1e6:
        torch.testing.assert_close(twin, x2, rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 20, 30])
def test_as_many_fusions_as_steps_begin_before_tau(steps):
    for stop in (i / 20 for i in range(21)):
        assert twins(stop=stop).fusions(steps) == len([i for i in range(steps) if i / steps < stop]), stop


def test_fifty_fusions_with_a_small_lambda_stay_in_the_range_of_float32():
    twin, steps = twins(lam=0.1, stop=1.0), 50
    x = torch.stack([torch.full((1, 1, 12), value) for value in (1.0, 3.0, 3.0)])
    rows = twin.rows(x, steps, steps)
    assert rows.isfinite().all()
    torch.testing.assert_close(twin.pictures(rows, steps, steps), x)
    rows = twin.rows(x, 0, steps)
    torch.testing.assert_close(twin.pictures(rows, 0, steps), x)


def test_what_numbers_cannot_hold_is_refused():
    twin = twins(lam=0.01, stop=1.0)
    with pytest.raises(
        ValueError, match=r"adjacency \(lambda\): 0\.01 in 100 steps .*; choose a larger lambda or fewer steps"
    ):
        twin.pictures(noise(), 0, 100)


def test_no_overlap_is_refused():
    with pytest.raises(ValueError, match="overlap: must be at least 1 latent cell, got 0"):
        twins(overlap=0)

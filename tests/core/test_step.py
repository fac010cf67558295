import math

import pytest
from joint_diffusion.core.step import Step, noise_level_key, step_at


def step(**options):
    return Step(**{"sigma": 1.0, "kept": 0.5, **options})


@pytest.mark.parametrize(
    ("sigma", "flow", "noise"),
    [(0.0, False, 0), (3.0, False, 3), (0.75, True, 3), (0.0, True, 0), (1.0, True, math.inf)],
)
def test_noise_is_that_of_the_picture_at_size_one(sigma, flow, noise):
    assert step(sigma=sigma, flow=flow).noise == pytest.approx(noise)


def test_progress_is_the_time_of_the_cosine_schedule():
    """Picture cos(t pi / 2) and noise sin(t pi / 2) at the time t from 0, clean, to 1."""
    for done in (0.0, 0.2, 0.5, 0.9, 1.0):
        angle = (1 - done) * math.pi / 2
        assert step(sigma=math.tan(angle)).progress == pytest.approx(done)
        flow = math.sin(angle) / (math.sin(angle) + math.cos(angle))
        assert step(sigma=flow, flow=True).progress == pytest.approx(done)


def test_neither_depends_on_the_number_of_the_step():
    one, other = step(sigma=0.7), step(sigma=0.7, index=7, count=9, kept=0.1, span=(0.7, 0.3))
    assert (one.noise, one.progress) == (other.noise, other.progress)


def test_it_is_named_as_people_count():
    assert str(step(sigma=1.23456, index=2, count=10)) == "step 3 of 10 (sigma 1.235)"


def test_the_key_of_a_noise_level_forgives_rounding_and_nothing_else():
    assert noise_level_key(14.614641) == noise_level_key(14.614639)
    assert len({noise_level_key(sigma) for sigma in (14.6, 14.7, 1.46, 0.146, 0.0)}) == 5


@pytest.mark.parametrize("kept", [-0.1, 1.0, float("nan")])
def test_a_step_that_keeps_everything_is_refused(kept):
    with pytest.raises(ValueError, match=r"kept: a denoising step keeps a part of x in \[0, 1\)"):
        _ = step(kept=kept).shift_kept


@pytest.mark.parametrize("span", [None, (0.9, 1.0)])
def test_a_step_that_keeps_nothing_carries_nothing_even_to_pure_noise(span):
    assert step(sigma=0.9, kept=0.0, flow=True, span=span).shift_kept == 0


@pytest.mark.parametrize("flow", [False, True])
def test_eulers_step_carries_r_over_1_minus_r(flow):
    assert step(sigma=0.8, kept=0.6, flow=flow).shift_kept == pytest.approx(0.6 / 0.4)


def test_ancestral_steps_of_flow_models_keep_a_picture_without_noise():
    """x' = r x + b D with D = x0 must turn (1 - s) x0 into (1 - s') x0."""
    start, end, kept = 0.95, 0.88, 0.557
    carried = step(sigma=start, kept=kept, flow=True, span=(start, end)).shift_kept
    assert kept * (1 - start) + kept / carried == pytest.approx(1 - end)
    assert step(sigma=5.0, kept=0.4, span=(5.0, 3.0)).shift_kept == pytest.approx(0.4 / 0.6)


@pytest.mark.parametrize(
    ("levels", "sigma", "step"),
    [
        ([10, 5, 1, 0], 10, 0),
        ([10, 5, 1, 0], 7, 0),  # within the first step, as samplers of higher order ask
        ([10, 5, 1, 0], 5.0001, 1),  # rounded
        ([10, 5, 1, 0], 0.5, 2),
        ([10, 5, 1, 0], 12, 0),
        ([0, 1, 5, 10], 1.0, 1),  # unsampling
        ([0, 1, 5, 10], 7.0, 2),
    ],
)
def test_the_step_of_a_noise_level_is_the_last_that_has_begun(levels, sigma, step):
    assert step_at(levels, sigma) == step

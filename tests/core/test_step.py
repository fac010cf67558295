import pytest
from joint_diffusion.core.step import Step


def step(**options):
    return Step(**{"sigma": 1.0, "kept": 0.5, "index": 0, "count": 10, **options})


@pytest.mark.parametrize("kept", [-0.1, 1.0, float("nan")])
def test_a_step_that_keeps_everything_is_refused(kept):
    with pytest.raises(ValueError, match=r"kept: a denoising step keeps a part of x in \[0, 1\)"):
        _ = step(kept=kept).shift_kept


def test_progress_is_a_part_of_the_steps():
    assert [step(index=index, count=4).progress for index in range(4)] == [0.0, 0.25, 0.5, 0.75]


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


@pytest.mark.parametrize("flow", [False, True])
def test_the_part_that_a_step_replaces_is_what_it_takes_of_the_prediction(flow):
    """x' = r x + b D: of the picture in x' the part b / signal' is D."""
    start, end = 0.8, 0.5
    before, after = (1 - start, 1 - end) if flow else (1.0, 1.0)
    kept = end / start  # Euler's
    taken = after - kept * before
    assert step(sigma=start, kept=kept, flow=flow).replaced == pytest.approx(taken / after)
    assert step(sigma=start, kept=0.0, flow=flow).replaced == 1


def test_many_small_steps_replace_as_much_as_a_large_one():
    left = 1.0
    for start, end in ((0.9, 0.7), (0.7, 0.6), (0.6, 0.2)):
        left *= 1 - step(sigma=start, kept=end / start, flow=True).replaced
    assert left == pytest.approx(1 - step(sigma=0.9, kept=0.2 / 0.9, flow=True).replaced)

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


def test_the_variance_of_unit_data():
    assert step(sigma=3.0).variance == 10
    assert step(sigma=0.75, flow=True).variance == pytest.approx(0.25**2 + 0.75**2)

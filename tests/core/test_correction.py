import math
from itertools import pairwise

import pytest
import torch
from joint_diffusion.core.correction import RollOff, in_turn


@pytest.mark.parametrize(
    ("noise", "strength"),
    [(math.inf, 1), (2.0, 1), (1.0, 1), (0.1, 0), (0.05, 0), (0.0, 0), (10**-0.5, 0.5), (10**-0.25, (1 + 2**-0.5) / 2)],
)
def test_half_a_cosine_over_the_logarithm_of_the_noise(noise, strength):
    assert RollOff(full=1.0, none=0.1).at(noise) == pytest.approx(strength)


def test_it_never_rises_and_has_no_jump():
    levels = [10 ** (-exponent / 100) for exponent in range(-100, 300)]
    strengths = [RollOff(full=2.0, none=0.03).at(level) for level in levels]
    falls = [before - after for before, after in pairwise(strengths)]
    assert min(falls) >= 0
    assert max(falls) < 0.01
    assert strengths[0] == 1
    assert strengths[-1] == 0


@pytest.mark.parametrize("limits", [(0.1, 1.0), (1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (math.inf, 1.0), (math.nan, 0.1)])
def test_limits_in_the_wrong_order_are_refused(limits):
    full, none = limits
    with pytest.raises(ValueError, match=r"none, full: must be 0 < none < full < infinity, got \S+ and \S+\."):
        RollOff(full=full, none=none)


def test_corrections_follow_one_another():
    assert in_turn([]) is None
    correct = in_turn([lambda x: x + 1, lambda x: 2 * x])
    assert correct is not None
    assert correct(torch.tensor(3.0)) == 8

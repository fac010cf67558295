from itertools import pairwise

import pytest
from joint_diffusion.core.zoom.path import DIRECTIONS, EASINGS, ZoomPath


def test_a_linear_way_is_even_and_has_both_ends():
    assert ZoomPath(frames_per_level=2).zooms(3) == [0, 0.5, 1, 1.5, 2]


def test_easing_starts_and_stops_gently():
    zooms = ZoomPath(frames_per_level=10, easing="ease in-out").zooms(3)
    steps = [after - before for before, after in pairwise(zooms)]
    assert zooms[0] == 0
    assert zooms[-1] == 2
    assert zooms[10] == 1
    assert min(steps) > 0
    assert max(steps) == pytest.approx(1.5 * 2 / 20, rel=0.01)
    assert steps[0] < 0.2 * max(steps)
    assert steps[-1] == pytest.approx(steps[0])


@pytest.mark.parametrize("easing", EASINGS)
def test_directions(easing):
    ways = {name: ZoomPath(frames_per_level=3, easing=easing, direction=name).zooms(4) for name in DIRECTIONS}
    assert ways["out"] == ways["in"][::-1]
    assert ways["in and out"] == ways["in"] + ways["out"][1:]
    assert ways["out and in"] == ways["out"] + ways["in"][1:]


def test_a_way_shorter_than_a_frame_still_has_both_ends():
    assert ZoomPath(frames_per_level=0.01).zooms(2) == [0, 1]


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"frames_per_level: must be above 0, got 0"):
        ZoomPath(frames_per_level=0)
    with pytest.raises(ValueError, match=r"easing: must be one of linear, ease in-out, got 'bounce'"):
        ZoomPath(frames_per_level=1, easing="bounce")
    with pytest.raises(ValueError, match=r"direction: must be one of in, out, .* got 'up'"):
        ZoomPath(frames_per_level=1, direction="up")


def test_frames_are_rounded_to_the_nearest_number():
    assert ZoomPath(frames_per_level=2.6).zooms(2) == pytest.approx([0, 1 / 3, 2 / 3, 1])

import random
from itertools import product

import pytest
from joint_diffusion.core.canvas.windows import Size, Wrap, plan_windows
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.spotdiffusion import random_offset, side_by_side

WRAPS = [Wrap(), Wrap(x=True), Wrap(y=True), Wrap(y=True, x=True)]


def looks(canvas, windows, axis):
    """How many windows of a row or a column see each cell along one axis."""
    count = [0] * canvas[axis]
    for start in {window[axis] for window in windows}:
        for cell in range(windows[0][2 + axis]):
            count[(start + cell) % canvas[axis]] += 1
    return count


@pytest.mark.parametrize("wrap", WRAPS, ids=str)
def test_every_cell_is_covered_by_windows_inside_of_the_canvas(wrap):
    lot, window = random.Random(1), Size(8, 6)
    for _ in range(300):
        canvas = Size(*(lot.randrange(side if loops else 1, 50) for side, loops in zip(window, wrap, strict=True)))
        offset = Size(lot.randrange(window.height), lot.randrange(window.width))
        windows = side_by_side(canvas, window, wrap, 1, offset)
        assert list(windows) == sorted(set(windows))
        assert len({place[2:] for place in windows}) == 1
        tops, lefts = ({place[axis] for place in windows} for axis in (0, 1))
        assert len(windows) == len(tops) * len(lefts)  # a grid, so each axis tells all
        for axis, (side, loops) in enumerate(zip(canvas, wrap, strict=True)):
            count = looks(canvas, windows, axis)
            assert min(count) == 1
            assert max(count) <= 2 + (not loops)
            if not loops:
                assert all(place[axis] + place[2 + axis] <= side for place in windows)
                assert sum(count) <= side + 2 * window[axis]  # what lies twice is at the edges


@pytest.mark.parametrize("offset", [Size(0, 0), Size(3, 5), Size(7, 7)])
def test_around_a_loop_of_whole_windows_nothing_is_seen_twice(offset):
    canvas = Size(16, 40)
    windows = side_by_side(canvas, Size(8, 8), Wrap(y=True, x=True), 1, offset)
    assert len(windows) == 10
    assert all(looks(canvas, windows, axis) == [1] * canvas[axis] for axis in (0, 1))
    assert {(w.top % 8, w.left % 8) for w in windows} == {offset}


def test_where_an_edge_does_not_wrap_the_outermost_windows_end_at_it():
    assert [w.left for w in side_by_side(Size(8, 32), Size(8, 8), offset=Size(0, 3))] == [0, 3, 11, 19, 24]
    assert [w.left for w in side_by_side(Size(8, 30), Size(8, 8))] == [0, 8, 16, 22]
    assert [w.left for w in side_by_side(Size(8, 32), Size(8, 8))] == [0, 8, 16, 24]
    assert side_by_side(Size(5, 8), Size(8, 8), offset=Size(4, 4)) == ((0, 0, 5, 8),)


def test_places_are_multiples_of_the_grid():
    for wrap, offset in product(WRAPS, (Size(4, 8), Size(12, 0))):
        windows = side_by_side(Size(48, 80), Size(16, 16), wrap, 4, offset)
        assert all(w.top % 4 == w.left % 4 == 0 for w in windows)


def test_a_loop_below_a_window_is_refused_as_elsewhere():
    with pytest.raises(ValueError, match="width: a wrapping canvas must be at least as large as the window"):
        side_by_side(Size(8, 6), Size(8, 8), Wrap(x=True))


def test_the_offset_is_the_same_for_the_same_seed_and_noise_level():
    window = Size(64, 64)
    assert random_offset(window, 1, 5, 1.25) == random_offset(window, 1, 5, 1.25 + 1e-7)
    assert len({random_offset(window, 1, 5, sigma) for sigma in (1.25, 1.26, 0.125, 0.0)}) == 4
    assert len({random_offset(window, 1, seed, 1.25) for seed in range(4)}) == 4


def test_all_multiples_of_the_grid_below_the_window_are_drawn():
    offsets = [random_offset(Size(16, 24), 8, 0, sigma / 7) for sigma in range(200)]
    assert set(offsets) == set(product((0, 8), (0, 8, 16)))


def test_windows_that_move_differ_at_each_noise_level_and_rest_where_others_look():
    params = WindowParams(window=Size(16, 16), stride=Size(8, 8), moving=True, seed=3, grid=2)
    canvas, at = Size(32, 64), params.at(1.5)
    assert at.offset == random_offset(Size(16, 16), 2, 3, 1.5)
    expected = side_by_side(canvas, Size(16, 16), grid=2, offset=at.offset)
    assert at.plan(canvas) == expected != params.at(1.6).plan(canvas)
    still = at.overlapping()
    assert still.plan(canvas) == plan_windows(canvas, Size(16, 16), Size(8, 8), grid=2)
    assert still.at(1.5) == still

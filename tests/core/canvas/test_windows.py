import pytest
import torch
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, add_to, crop, crop_batch, plan_windows
from oracles import look


def cover_count(canvas, windows):
    count = torch.zeros(canvas)
    for w in windows:
        rows = torch.arange(w.top, w.top + w.height) % canvas.height
        count[rows[:, None], torch.arange(w.left, w.left + w.width) % canvas.width] += 1
    return count


@pytest.mark.parametrize(
    ("canvas", "stride"),
    [
        (Size(16, 16), 5),  # one window
        (Size(33, 50), 1),
        (Size(33, 50), 16),
        (Size(64, 250), 5),
        (Size(7, 128), 8),  # lower than a window
        (Size(5, 9), 16),
    ],
)
def test_every_cell_is_covered_and_windows_stay_inside(canvas, stride):
    windows = plan_windows(canvas, Size(16, 16), Size(stride, stride))
    assert cover_count(canvas, windows).min() >= 1
    assert all(w.top + w.height <= canvas.height and w.left + w.width <= canvas.width for w in windows)
    assert len(set(windows)) == len(windows)


def test_the_last_columns_of_a_2000_px_canvas_are_covered():
    """The papers' formula (width - window) // stride + 1 leaves the last 10 latent columns of 2000 px uncovered."""
    windows = plan_windows(Size(64, 250), Size(64, 64), Size(16, 16))
    assert windows[-1] == Window(0, 186, 64, 64)
    assert len(windows) == 13


def test_no_more_windows_than_needed():
    assert len(plan_windows(Size(128, 512), Size(64, 64), Size(32, 32))) == 45  # MSD v1: 45 high-resolution windows
    assert len(plan_windows(Size(64, 256), Size(64, 64), Size(32, 32))) == 7  # and 7 low-resolution ones


@pytest.mark.parametrize(("width", "stride"), [(64, 16), (80, 10), (100, 16), (127, 4), (127, 10)])
def test_wrapped_windows_are_as_dense_as_the_others(width, stride):
    windows = plan_windows(Size(16, width), Size(16, 16), Size(16, stride), Wrap(x=True))
    lefts = [w.left for w in windows]
    gaps = [(b - a) % width for a, b in zip(lefts, lefts[1:] + lefts[:1], strict=True)]
    assert max(gaps) <= stride
    assert max(gaps) - min(gaps) <= 1
    assert len(windows) == -(-width // stride)
    assert cover_count(Size(16, width), windows).min() >= 1


def test_wrapping_in_both_directions_covers_everything_equally():
    windows = plan_windows(Size(32, 48), Size(16, 16), Size(8, 8), Wrap(y=True, x=True))
    assert (cover_count(Size(32, 48), windows) == 4).all()


def test_offsets_stay_on_the_grid():
    windows = plan_windows(Size(64, 200), Size(64, 64), Size(24, 24), Wrap(x=True), grid=8)
    assert all(w.left % 8 == 0 for w in windows)


def test_a_stride_off_the_grid_is_kept_around_a_loop():
    """Three windows in 32 cells cannot both lie on a grid of 8 and be at most 12 apart."""
    lefts = [w.left for w in plan_windows(Size(16, 32), Size(16, 16), Size(16, 12), Wrap(x=True), grid=8)]
    assert len(lefts) == 3
    assert max((b - a) % 32 for a, b in zip(lefts, lefts[1:] + lefts[:1], strict=True)) <= 12


def test_a_window_larger_than_the_canvas_is_cut_to_it():
    assert plan_windows(Size(8, 40), Size(16, 16), Size(8, 8))[0] == Window(0, 0, 8, 16)
    assert plan_windows(Size(8, 8), Size(16, 16), Size(8, 8)) == (Window(0, 0, 8, 8),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Size(16, 16), Size(8, 8), Size(8, 9)), r"width: stride must be in 1\.\.8 \(the window\), got 9"),
        ((Size(16, 16), Size(8, 8), Size(0, 8)), r"height: stride must be in 1\.\.8 \(the window\), got 0"),
        ((Size(0, 16), Size(8, 8), Size(8, 8)), r"height: canvas and window must be at least 1 latent cell, got 0"),
        ((Size(16, 4), Size(8, 8), Size(8, 8), Wrap(x=True)), r"width: a wrapping canvas .* got 4; make the canvas"),
        (
            (Size(2001, 2001), Size(2, 2), Size(1, 1)),
            r"windows: a canvas of 2001 x 2001 .* 4,000,000 windows of 2 x 2",
        ),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_windows(*arguments)


@pytest.mark.parametrize("window", [Window(0, 0, 3, 4), Window(5, 7, 3, 4), Window(6, 8, 3, 4), Window(2, 9, 8, 10)])
def test_crop_is_what_one_sees_cell_by_cell(window):
    canvas = torch.randn(2, 8, 10)
    assert torch.equal(crop(canvas, window), look(canvas, window))


@pytest.mark.parametrize("window", [Window(0, 0, 3, 4), Window(6, 8, 3, 4), Window(2, 9, 8, 10)])
@pytest.mark.parametrize("leading", [(2, 4), (2, 4, 1)])
def test_adding_is_the_transpose_of_cropping(window, leading):
    x = torch.randn(*leading, 8, 10, dtype=torch.float64)
    y = torch.randn(*leading, window.height, window.width, dtype=torch.float64)
    pasted = torch.zeros_like(x)
    add_to(pasted, [y], [window])
    torch.testing.assert_close((crop(x, window) * y).sum(), (x * pasted).sum())


def test_views_are_stacked_window_major():
    x = torch.randn(2, 4, 8, 8)
    windows = [Window(0, 0, 4, 4), Window(4, 4, 4, 4), Window(6, 6, 4, 4)]
    views = crop_batch(x, windows)
    for w, window in enumerate(windows):
        for b in range(2):
            assert torch.equal(views[w * 2 + b], crop(x, window)[b])

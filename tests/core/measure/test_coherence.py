"""Distances between windows: which are compared, and how, against loops and on pictures whose answer is known."""

import pytest
import torch
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, plan_windows
from joint_diffusion.core.measure.coherence import pairs_apart, palette_distance, style_distance
from oracles import gram_distance

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 5e-2}
CANVAS = Size(32, 128)
ROW = plan_windows(CANVAS, Size(32, 32), Size(32, 32))
PAIRS = pairs_apart(ROW, CANVAS)


def noise(batch=2, height=32, width=128, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def flat(*levels):
    """Windows of one grey each, side by side."""
    return torch.tensor(levels, dtype=torch.float64).repeat_interleave(32).expand(1, 3, 32, -1)


def test_windows_that_touch_are_no_pair():
    assert [(one.left, other.left) for one, other in PAIRS] == [(0, 64), (0, 96), (32, 96)]


def test_windows_that_overlap_are_no_pair():
    pairs = pairs_apart(plan_windows(CANVAS, Size(32, 32), Size(32, 16)), CANVAS)
    assert {(one.left, other.left) for one, other in pairs} == {
        (left, right) for left in range(0, 97, 16) for right in range(left + 48, 97, 16)
    }


def test_around_a_loop_they_must_be_apart_both_ways():
    wrap = Wrap(x=True)
    pairs = pairs_apart(plan_windows(CANVAS, Size(32, 32), Size(32, 32), wrap), CANVAS, wrap)
    assert [(one.left, other.left) for one, other in pairs] == [(0, 64), (32, 96)]
    over_the_edge = [Window(0, 112, 32, 32), Window(0, 16, 32, 32), Window(0, 17, 32, 32), Window(0, 64, 32, 32)]
    pairs = pairs_apart(over_the_edge, CANVAS, wrap)
    assert {(one.left, other.left) for one, other in pairs} == {(112, 17), (112, 64), (16, 64), (17, 64)}


def test_windows_of_one_row_are_compared_and_in_a_tall_picture_those_of_one_column():
    wide = pairs_apart(plan_windows(Size(96, 128), Size(32, 32), Size(32, 32)), Size(96, 128))
    assert len(wide) == 3 * 3
    assert all(one.top == other.top for one, other in wide)
    tall = pairs_apart(plan_windows(Size(128, 96), Size(32, 32), Size(32, 32)), Size(128, 96))
    assert tall
    assert {(a.left, a.top, b.left, b.top) for a, b in tall} == {(a.top, a.left, b.top, b.left) for a, b in wide}
    square = pairs_apart(plan_windows(Size(96, 96), Size(32, 32), Size(32, 32)), Size(96, 96))
    assert square
    assert all(one.top == other.top for one, other in square)
    turned = noise(1, 96, 128)
    torch.testing.assert_close(palette_distance(turned.mT, tall), palette_distance(turned, wide))
    torch.testing.assert_close(style_distance(turned.mT, tall), style_distance(turned, wide))


def test_palette_distance_of_known_greys():
    """sqrt(3) of the difference: three channels, and no contrast."""
    expected = 3**0.5 * (0.2 + 0.6 + 0.4) / 3  # of the windows 0 and 2, 0 and 3, 1 and 3
    torch.testing.assert_close(palette_distance(flat(0.1, 0.3, 0.3, 0.7), PAIRS).item(), expected)


def test_palette_distance_of_known_contrasts():
    """The same mean; a checkerboard of 0 and 1 has the (corrected) standard deviation 0.5 sqrt(n / (n - 1))."""
    image = flat(0.5, 0.5, 0.5, 0.5).clone()
    image[..., 64:96] = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    deviation = 0.5 * (1024 / 1023) ** 0.5
    torch.testing.assert_close(palette_distance(image, PAIRS[:1]).item(), 3**0.5 * deviation)


def test_style_distance_is_that_of_the_loops():
    image = noise(1) * torch.linspace(0.1, 1, 128)
    views = [image[0, :, :, window.left : window.left + 32] for window in ROW]
    expected = (
        gram_distance(views[0], views[2]) + gram_distance(views[0], views[3]) + gram_distance(views[1], views[3])
    ) / 3
    torch.testing.assert_close(style_distance(image, PAIRS)[0], expected)


def test_equal_windows_are_at_no_distance():
    image = noise(2, width=32).repeat(1, 1, 1, 4)
    assert palette_distance(image, PAIRS).tolist() == style_distance(image, PAIRS).tolist() == [0.0, 0.0]
    assert style_distance(flat(0.1, 0.3, 0.5, 0.7), PAIRS).tolist() == [0.0]  # all flat; the palette has no part in it


def test_texture_against_none_is_the_largest_distance():
    image = torch.cat([noise(1, width=64), flat(0.5, 0.5)], dim=3)
    torch.testing.assert_close(style_distance(image, PAIRS).item(), 2.0)


def test_a_picture_without_pairs_is_coherent():
    assert palette_distance(noise(), []).tolist() == style_distance(noise(), []).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("measure", "mirrored"), [(palette_distance, 1e-12), (style_distance, 0.1)])
def test_invariances(measure, mirrored):
    """Style looks at steps to the right and down, so it is the same in a mirrored picture only on average."""
    images = noise(3) * torch.linspace(0.2, 1, 128)
    expected = measure(images, PAIRS)
    assert (expected > 0.02).all()
    torch.testing.assert_close(measure(images.flip(-1), PAIRS), expected, rtol=mirrored, atol=0)
    torch.testing.assert_close(measure(images[[2, 0, 1]], PAIRS), expected[[2, 0, 1]])
    around = pairs_apart(ROW, CANVAS, Wrap(x=True))
    torch.testing.assert_close(measure(images.roll(32, -1), around), measure(images, around))
    for dtype, tolerance in TOLERANCE.items():
        torch.testing.assert_close(measure(images.to(dtype), PAIRS).double(), expected, rtol=tolerance, atol=0)


def test_windows_over_the_edge_are_seen_whole():
    image = noise(1)
    moved = palette_distance(image.roll(-112, -1), [(Window(0, 0, 32, 32), Window(0, 64, 32, 32))])
    torch.testing.assert_close(palette_distance(image, [(Window(0, 112, 32, 32), Window(0, 48, 32, 32))]), moved)


def test_windows_too_small_for_a_texture():
    pair = [(Window(0, 0, 16, 8), Window(0, 64, 16, 8))]
    with pytest.raises(ValueError, match=r"window: must be at least 16 x 16 pixels .*got 8 x 16; use larger windows"):
        style_distance(noise(), pair)

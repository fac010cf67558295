import pytest
import torch
from joint_diffusion.core.canvas.fusion import GAUSSIAN_WIDTH, Fusion, fuse, normalised, shared_weights, window_weights
from joint_diffusion.core.canvas.windows import Size, Wrap, crop_batch, plan_windows
from kornia.filters import get_gaussian_kernel2d
from oracles import fuse as fuse_by_hand

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
SHAPES = ["uniform", "feathered", "gaussian"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [Size(7, 12), Size(1, 128)])
def test_weights_are_symmetric_and_positive(shape, size):
    weights = window_weights(shape, size)
    assert weights.shape == size
    assert (weights > 0).all()
    torch.testing.assert_close(weights, weights.flip(0))
    torch.testing.assert_close(weights, weights.flip(1))


def test_only_uniform_weights_are_flat():
    assert window_weights("uniform", Size(8, 8)).std() == 0
    for shape in ("feathered", "gaussian"):
        row = window_weights(shape, Size(9, 9))[4]
        assert (row[1:5] > row[:4]).all()


@pytest.mark.parametrize("size", [Size(16, 16), Size(7, 12), Size(1, 128)])
def test_gaussian_weights_are_those_of_kornia_but_for_a_factor(size):
    sigma = (GAUSSIAN_WIDTH * size.height, GAUSSIAN_WIDTH * size.width)
    expected = get_gaussian_kernel2d(size, sigma, force_even=True)[0]
    weights = window_weights("gaussian", size)
    torch.testing.assert_close(weights / weights.sum(), expected)


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match=r"weights: must be uniform, feathered or gaussian, got 'round'"):
        window_weights("round", Size(4, 4))


@pytest.mark.parametrize(
    ("dtype", "shape", "wrap"),
    [
        (torch.float64, "gaussian", Wrap(y=True, x=True)),
        (torch.float32, "feathered", Wrap(x=True)),
        (torch.float32, "uniform", Wrap()),
        (torch.bfloat16, "gaussian", Wrap()),
        (torch.float16, "uniform", Wrap(y=True, x=True)),
        (torch.float16, "feathered", Wrap(x=True)),
    ],
    ids=str,
)
def test_fusing_the_crops_of_one_canvas_returns_it(dtype, shape, wrap):
    canvas = torch.randn(2, 3, 21, 37).to(dtype)
    windows = plan_windows(Size(21, 37), Size(8, 8), Size(5, 6), wrap)
    fused = fuse(canvas, crop_batch(canvas, windows), windows, shared_weights(shape, windows, canvas))
    assert fused.dtype == dtype
    torch.testing.assert_close(fused, canvas, rtol=0, atol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("shape", "wrap"), [*zip(SHAPES, [Wrap(), Wrap(x=True), Wrap(y=True, x=True)], strict=True)], ids=str
)
def test_fusing_different_views_equals_equation_6_cell_by_cell(shape, wrap):
    windows = plan_windows(Size(11, 17), Size(8, 6), Size(5, 4), wrap)
    weights = {window: window_weights(shape, Size(8, 6)).double() * torch.rand(8, 6).double() for window in windows}
    views = torch.randn(len(windows), 3, 8, 6, dtype=torch.float64)
    canvas = torch.empty(1, 3, 11, 17, dtype=torch.float64)
    by_hand = fuse_by_hand(list(views), windows, (3, 11, 17), weights)
    fused = fuse(canvas, views, windows, normalised(weights, Size(11, 17)))
    torch.testing.assert_close(fused[0], by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_batch_of_windows_does_not_matter(batch):
    canvas = torch.empty(2, 3, 20, 30)
    windows = plan_windows(Size(20, 30), Size(8, 8), Size(4, 4))
    weights = shared_weights("gaussian", windows, canvas)
    views = torch.randn(len(windows) * 2, 3, 8, 8)
    fusion = Fusion(canvas, weights)
    for start in range(0, len(windows), batch):
        fusion.add([views[start * 2 : (start + batch) * 2]], windows[start : start + batch])
    assert torch.equal(fusion.result()[0], fuse(canvas, views, windows, weights))


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(y=True, x=True)])
def test_several_averages_at_once_are_those_of_each_alone(wrap):
    canvas = torch.empty(2, 3, 1, 20, 30, dtype=torch.float64)
    windows = plan_windows(Size(20, 30), Size(8, 8), Size(5, 5), wrap)
    weights = shared_weights("gaussian", windows, canvas)
    views = torch.randn(3, len(windows) * 2, 3, 1, 8, 8, dtype=torch.float64)
    fusion = Fusion(canvas, weights, count=3)
    fusion.add(views.unbind(), windows)
    for average, alone in zip(fusion.result(), views, strict=True):
        assert torch.equal(average, fuse(canvas, alone, windows, weights))


def test_half_precision_views_are_summed_in_float32():
    """Rounded once, at the end: sums of eight windows in float16 would be rounded eight times."""
    canvas, windows = torch.empty(1, 1, 8, 37, dtype=torch.float16), plan_windows(Size(8, 37), Size(8, 8), Size(8, 1))
    views = torch.randn(len(windows), 1, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    weights = shared_weights("gaussian", windows, canvas)
    fused, exact = fuse(canvas, views, windows, weights), fuse(canvas.float(), views.float(), windows, weights)
    assert weights[windows[0]].dtype == torch.float32
    assert torch.equal(fused, exact.half())

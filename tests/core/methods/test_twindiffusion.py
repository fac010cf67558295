from dataclasses import replace

import pytest
import torch
from analytic import convolution
from joint_diffusion.core import joint_step
from joint_diffusion.core.canvas.fusion import fuse, normalised, window_weights
from joint_diffusion.core.canvas.windows import Size, Wrap, plan_windows
from joint_diffusion.core.joint_params import JointParams, check_canvas
from joint_diffusion.core.joint_step import denoise_step, fusion_weights
from joint_diffusion.core.methods.multidiffusion import WindowParams, denoise_jointly
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams, crop_fusion_weights
from joint_diffusion.core.step import Step
from oracles import crop_fusion
from oracles import fuse as fuse_by_hand

ON_A_GRID = WindowParams(window=Size(8, 8), stride=Size(6, 6), grid=2)
PLANS = [  # canvas, window, stride, wrap
    (Size(8, 24), Size(8, 8), Size(8, 4), Wrap()),
    (Size(8, 21), Size(8, 8), Size(8, 2), Wrap()),  # three windows and more at a cell, the last one off the stride
    (Size(13, 19), Size(8, 8), Size(5, 6), Wrap()),
    (Size(8, 24), Size(8, 8), Size(8, 4), Wrap(x=True)),
    (Size(12, 20), Size(8, 8), Size(4, 5), Wrap(y=True, x=True)),
    (Size(8, 12), Size(8, 8), Size(8, 6), Wrap(x=True)),  # two windows that meet on both sides
    (Size(8, 8), Size(8, 8), Size(8, 4), Wrap()),
    (Size(20, 12), Size(8, 8), Size(5, 4), Wrap(y=True)),
]


def uneven_weights(windows):
    generator = torch.Generator().manual_seed(3)
    return {w: torch.rand(w.height, w.width, dtype=torch.float64, generator=generator) + 0.1 for w in windows}


def step(index=0, **options):
    return Step(**{"sigma": 1.8, "kept": 0.7, "index": index, "count": 10, **options})


ADJACENCIES = [0.1, 1.0, 100.0, 0.1, 1.0, 0.1, 1.0, 1.0]


@pytest.mark.parametrize(("plan", "adjacency"), [*zip(PLANS, ADJACENCIES, strict=True), (PLANS[1], 0.1)], ids=str)
def test_the_weights_equal_crop_fusion_window_after_window_and_then_the_average(plan, adjacency):
    canvas, window, stride, wrap = plan
    windows = plan_windows(canvas, window, stride, wrap)
    weights = uneven_weights(windows)
    views = torch.randn(len(windows), 3, *window, dtype=torch.float64)
    aligned = crop_fusion(list(views), windows, canvas, adjacency, wrap)
    slow = fuse_by_hand(aligned, windows, (3, *canvas), weights)
    fused = crop_fusion_weights(windows, weights, canvas, wrap, adjacency)
    fast = fuse(torch.empty(1, 3, *canvas, dtype=torch.float64), views, windows, normalised(fused, canvas))
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-12)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_weight_is_handed_on_and_never_lost(plan):
    canvas, window, stride, wrap = plan
    windows = plan_windows(canvas, window, stride, wrap)
    weights = uneven_weights(windows)
    fused = crop_fusion_weights(windows, weights, canvas, wrap, 0.7)
    assert all((values > 0).all() for values in fused.values())
    ones = torch.ones(len(windows), 1, *window, dtype=torch.float64)
    before, after = (fuse_sum(canvas, ones, windows, masks) for masks in (weights, fused))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)


def fuse_sum(canvas, views, windows, masks):
    total = torch.zeros(canvas, dtype=views.dtype)
    for view, window in zip(views[:, 0], windows, strict=True):
        rows = (torch.arange(window.height) + window.top) % canvas.height
        columns = (torch.arange(window.width) + window.left) % canvas.width
        total[rows[:, None], columns] += masks[window] * view
    return total


def test_the_closed_form_is_the_minimum_of_equation_6():
    """Two windows; the optimum of the second beats every small change of it."""
    windows = plan_windows(Size(4, 6), Size(4, 4), Size(4, 2))
    views, lam = torch.randn(2, 1, 4, 4, dtype=torch.float64), 0.6
    first, best = crop_fusion(list(views), windows, Size(4, 6), lam)

    def lagrangian(x):
        return (first[:, :, 2:] - x[:, :, :2]).square().sum() + lam * (views[1] - x).square().sum()

    for _ in range(20):
        assert lagrangian(best) < lagrangian(best + 0.05 * torch.randn_like(best))


def test_a_large_lambda_is_the_plain_average_and_a_small_one_keeps_the_first_window():
    windows = plan_windows(Size(8, 12), Size(8, 8), Size(8, 4))
    weights = dict.fromkeys(windows, window_weights("uniform", Size(8, 8)).double())
    large = crop_fusion_weights(windows, weights, Size(8, 12), Wrap(), 1e9)
    assert all((large[window] - 1).abs().max() < 1e-6 for window in windows)
    small = crop_fusion_weights(windows, weights, Size(8, 12), Wrap(), 1e-9)
    torch.testing.assert_close(small[windows[0]][:, 4:], torch.full((8, 4), 2.0).double())


def test_crop_fusion_ends_at_its_stop_and_then_is_multidiffusion_bit_for_bit():
    x = torch.randn(1, 3, 8, 24)
    windows = WindowParams(window=Size(8, 8), stride=Size(8, 4))
    params = JointParams(windows=windows, crop_fusion=CropFusionParams(stop=0.5))
    for sigma, aligned in ((1.01, True), (0.99, False)):  # as much noise as picture is half of the way
        plain = denoise_jointly(x, sigma, convolution(), windows)
        denoised = denoise_step(x, Step(sigma=sigma), convolution(), params)
        assert torch.equal(denoised, plain) is not aligned
        assert torch.allclose(denoised, plain, atol=1e-3) is not aligned


def test_crop_fusion_of_steps_equals_that_of_predictions():
    """The paper aligns x_{t-1}; on overlaps x_t agrees, so aligning denoised predictions lands at the same place."""
    x, model, r = torch.randn(1, 3, 8, 20, dtype=torch.float64), convolution(), 0.7
    plan = WindowParams(window=Size(8, 8), stride=Size(8, 4), weights="uniform")
    windows = plan.plan(Size(8, 20))
    params = JointParams(windows=plan, crop_fusion=CropFusionParams(adjacency=0.5))
    fast = r * x + (1 - r) * denoise_step(x, step(), model, params)
    views = [x[0, :, :, w.left : w.left + 8] for w in windows]
    stepped = [r * view + (1 - r) * model(view[None], 1.8)[0] for view in views]
    slow = fuse_by_hand(
        crop_fusion(stepped, windows, Size(8, 20), 0.5), windows, x.shape[1:], torch.ones(8, 8, dtype=torch.float64)
    )
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9)


def test_weights_of_a_plan_are_made_once(monkeypatch):
    made = []
    joint_step._aligned_weights.cache_clear()  # which lasts as long as the process

    def counted(*arguments):
        made.append(arguments)
        return crop_fusion_weights(*arguments)

    monkeypatch.setattr("joint_diffusion.core.joint_step.crop_fusion_weights", counted)
    x, windows = torch.randn(1, 3, 8, 26), WindowParams(window=Size(8, 8), stride=Size(8, 5))
    params = JointParams(windows=windows, crop_fusion=CropFusionParams())
    for index in range(3):
        fusion_weights(x + index, step(index), params, windows)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("canvas", "stride", "shift", "wrap"),
    [
        (Size(16, 64), 8, 4, Wrap()),
        (Size(16, 64), 16, 8, Wrap(x=True)),
        (Size(16, 64), 12, 6, Wrap(y=True, x=True)),
        (Size(24, 41), 8, 7, Wrap()),
        (Size(24, 41), 16, 8, Wrap()),
        (Size(24, 41), 12, 6, Wrap(x=True)),
        (Size(24, 41), 5, 3, Wrap(y=True, x=True)),
        (Size(16, 20), 5, 3, Wrap()),
        (Size(16, 20), 16, 8, Wrap(y=True, x=True)),
    ],
    ids=str,
)
def test_shifted_windows_cover_everything_with_no_wide_gaps(canvas, stride, shift, wrap):
    sizes = Size(16, 16), Size(stride, stride)
    windows = plan_windows(canvas, *sizes, wrap, offset=Size(shift, shift))
    assert len(set(windows)) == len(windows)
    covered = fuse_sum(canvas, torch.ones(len(windows), 1, 16, 16), windows, dict.fromkeys(windows, 1.0))
    assert covered.min() >= 1
    for axis, side in enumerate(canvas):
        starts = {window[axis] for window in windows}
        count = len({window[axis] for window in plan_windows(canvas, *sizes, wrap)})
        assert len(starts) <= count + (stride + shift > 16)
        if not wrap[axis]:
            assert {0, side - 16} <= starts
            assert starts - {0, side - 16} <= set(range(shift, side, stride))


def test_cross_strides_stay_on_the_grid():
    assert shifted(at=1) == Size(2, 2)
    assert shifted(at=1, cross_stride=Size(4, 2)) == Size(4, 2)


def shifted(at=0, **options):
    return CrossSamplingParams(**options).offset_at(step(at), ON_A_GRID)


def check(canvas=(16, 24), windows=ON_A_GRID, **options):
    check_canvas(Size(*canvas), JointParams(windows=windows, cross_sampling=CrossSamplingParams(**options)))


def test_windows_need_not_take_turns_where_there_is_only_one():
    wide = WindowParams(window=Size(8, 16), stride=Size(4, 8), grid=2)
    strip, turns = Size(8, 48), CrossSamplingParams(groups=4)
    check(strip, wide, groups=4)
    check(strip, wide, groups=2, cross_stride=Size(6, 6))
    params = JointParams(windows=wide, cross_sampling=turns)
    plans = [replace(wide, offset=turns.offset_of(turn, wide)).plan(strip) for turn in range(4)]
    assert {window.top for plan in plans for window in plan} == {0}
    assert [plan[1].left for plan in plans] == [8, 10, 12, 14]
    assert params.windows_at(step()).plan(strip) in plans
    for several in (Size(16, 48), Size(9, 48)):
        with pytest.raises(ValueError, match=r"groups: .* 4 latent cells \(height\)"):
            check(several, wide, groups=4)
    with pytest.raises(ValueError, match=r"groups: .* 4 latent cells \(height\)"):
        check(strip, replace(wide, wrap=Wrap(y=True)), groups=4)


def test_the_last_set_lies_before_the_next_window():
    check(groups=2, cross_stride=Size(5, 5))
    with pytest.raises(
        ValueError, match=r"cross_stride height: 2 sets .* of 6 latent cells, so at most 5 apart, got 6"
    ):
        check(groups=2, cross_stride=Size(6, 6))


def test_wrapping_windows_all_move():
    canvas, size, stride = Size(16, 64), Size(16, 16), Size(16, 8)
    still = plan_windows(canvas, size, stride, Wrap(x=True))
    moved = plan_windows(canvas, size, stride, Wrap(x=True), offset=Size(0, 4))
    assert [window.left for window in moved] == [window.left + 4 for window in still]


def test_a_shift_beyond_the_stride_is_refused():
    with pytest.raises(ValueError, match=r"width: offset must be in 0\.\.7 \(below the stride\), got 8"):
        plan_windows(Size(16, 64), Size(16, 16), Size(8, 8), offset=Size(0, 8))


def test_cross_sampling_takes_turns():
    windows, cross = WindowParams(window=Size(8, 8), stride=Size(8, 6)), CrossSamplingParams(groups=3)
    assert [cross.offset_of(turn, windows).width for turn in range(3)] == [0, 2, 4]
    plans = [replace(windows, offset=cross.offset_of(turn, windows)).plan(Size(8, 40)) for turn in range(3)]
    lefts = [[window.left for window in plan] for plan in plans]
    assert lefts == [[0, 6, 12, 18, 24, 30, 32], [0, 8, 14, 20, 26, 32], [0, 4, 10, 16, 22, 28, 32]]


def test_a_pointwise_model_does_not_notice_cross_sampling_nor_crop_fusion():
    x = torch.randn(1, 3, 16, 40, dtype=torch.float64)
    params = JointParams(
        windows=WindowParams(window=Size(8, 8), stride=Size(4, 4)),
        crop_fusion=CropFusionParams(),
        cross_sampling=CrossSamplingParams(groups=2, cross_stride=Size(2, 2)),
    )
    for index in range(4):
        denoised = denoise_step(x, step(index), lambda views, *_: 0.3 * views, params)
        torch.testing.assert_close(denoised, 0.3 * x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CropFusionParams(adjacency=0.0), r"adjacency \(lambda\): must be a number above 0, got 0"),
        (lambda: CropFusionParams(stop=2.0), r"stop: must be in 0\.\.1 .*, got 2"),
        (lambda: CrossSamplingParams(groups=1, cross_stride=Size(4, 4)), r"groups: must be at least 2 .*, got 1"),
        (lambda: CrossSamplingParams(groups=2, cross_stride=Size(4, 0)), r"cross_stride: must be at least 1 latent"),
        (
            lambda: check(groups=4),
            r"groups: with a stride of 6 latent cells \(height\) and a grid of 2 there is room for 3 sets of windows, "
            r"got 4; use fewer groups, or less overlap of the windows, or no cross_sampling",
        ),
        (
            lambda: check(windows=replace(ON_A_GRID, stride=Size(6, 2))),
            r"groups: with a stride of 2 latent cells \(width\) and a grid of 2 .* one set of windows, got 2; use less",
        ),
        (lambda: check(groups=3, cross_stride=Size(2, 4)), r"cross_stride width: 3 sets .* at most 2 apart, got 4"),
    ],
)
def test_wrong_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

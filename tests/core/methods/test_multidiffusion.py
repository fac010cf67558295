import pytest
import torch
from analytic import convolution, gaussian, single
from joint_diffusion.core.canvas.fusion import shared_weights, window_weights
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams, denoise_jointly, predict_jointly
from oracles import multidiffusion_step


def params(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 6), "weights": "gaussian", **options})


@pytest.mark.parametrize(
    ("wrap", "dtype"),
    [
        (Wrap(), torch.float32),
        (Wrap(), torch.float64),
        (Wrap(x=True), torch.float64),
        (Wrap(True, True), torch.float64),
    ],
)
def test_a_step_equals_the_literal_one(wrap, dtype):
    x, sigma, sigma_next = torch.randn(1, 3, 13, 22, dtype=dtype), 2.0, 1.4
    model, windows = convolution(), params(wrap=wrap)
    r = sigma_next / sigma
    fast = r * x + (1 - r) * denoise_jointly(x, sigma, model, windows)
    weights = window_weights("gaussian", Size(8, 8)).to(dtype)
    slow = multidiffusion_step(x[0], sigma, sigma_next, single(model), windows.plan(Size(13, 22)), weights)
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)


def test_a_pointwise_model_does_not_notice_the_windows():
    x, model = torch.randn(2, 4, 20, 33), gaussian(0.3, 0.7)
    torch.testing.assert_close(denoise_jointly(x, 1.5, model, params()), model(x, 1.5))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_windows_per_batch_change_nothing(batch):
    x = torch.randn(2, 3, 20, 33, dtype=torch.float64)
    expected = denoise_jointly(x, 1.5, convolution(), params())
    torch.testing.assert_close(denoise_jointly(x, 1.5, convolution(), params(batch=batch)), expected)


def test_the_model_sees_every_window_once_with_its_place():
    seen = []

    def model(views, sigma, windows, canvas):
        assert views.shape == (2 * len(windows), 3, 8, 8)
        assert sigma == 1.5
        assert canvas == (20, 33)
        seen.extend(windows)
        return views

    windows = params(batch=4)
    denoise_jointly(torch.randn(2, 3, 20, 33), 1.5, model, windows)
    assert tuple(seen) == windows.plan(Size(20, 33))


def test_latents_of_five_dimensions():
    x, model = torch.randn(2, 4, 1, 20, 33), gaussian()
    torch.testing.assert_close(denoise_jointly(x, 1.5, model, params()), model(x, 1.5))


def test_several_predictions_are_fused_one_by_one():
    x = torch.randn(1, 3, 20, 33)
    plan = params().plan(Size(20, 33))
    weights = shared_weights("feathered", plan, x)
    cond, uncond = predict_jointly(x, params(batch=5).batches(plan), lambda views, _: (views, -2 * views), weights)
    torch.testing.assert_close(cond, x)
    torch.testing.assert_close(uncond, -2 * x)


def test_the_effective_denoised_makes_an_euler_step_land_where_the_moved_windows_do():
    x, model, sigma, r = torch.randn(1, 3, 12, 20, dtype=torch.float64), convolution(), 2.0, 0.6
    windows = params(batch=3)
    plan = windows.plan(Size(12, 20))
    shifts = {window: torch.randn(1, 3, 8, 8, dtype=torch.float64) for window in plan}
    effective = denoise_jointly(x, sigma, model, windows, shifts, r / (1 - r))

    def step_moved(views, batch):
        moved = views + torch.cat([shifts[window] for window in batch])
        return (r * moved + (1 - r) * model(moved, sigma),)

    weights = shared_weights(windows.weights, plan, x)
    (landed,) = predict_jointly(x, windows.batches(plan), step_moved, weights)
    torch.testing.assert_close(r * x + (1 - r) * effective, landed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": Size(4, 9)}, r"stride width: must be in 1\.\.8 \(the window\), got 9"),
        ({"window": Size(8, 10), "grid": 4}, r"window width: must be a positive multiple of 4 latent cells, got 10"),
        ({"window": Size(0, 8)}, r"window height: must be a positive multiple of 1 latent cells, got 0"),
        ({"batch": -1}, r"batch: must be 0 \(automatic\) or more windows in one model call, got -1"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        params(**options)

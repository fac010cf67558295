import math

import pytest
import torch
from analytic import convolution, gaussian, single
from joint_diffusion.core.fusion import window_weights
from joint_diffusion.core.joint_step import JointParams, denoise_step, guidance_shifts
from joint_diffusion.core.multidiffusion import WindowParams, denoise_jointly
from joint_diffusion.core.multiscale import MultiScaleParams, scale_sizes
from joint_diffusion.core.step import Step
from joint_diffusion.core.windows import Size, Wrap
from oracles import matched_msd_step, msd_step

SIGMA, SIGMA_NEXT = 1.8, 1.3


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 4), "weights": "gaussian", **options})


def step(**options):
    return Step(**{"sigma": SIGMA, "kept": SIGMA_NEXT / SIGMA, "index": 0, "count": 10, **options})


def msd(params, plan=None):
    return JointParams(windows=plan or windows(), multiscale=params)


def euler(x, params, model=None, plan=None):
    effective = denoise_step(x, step(), model or convolution(), msd(params, plan))
    r = SIGMA_NEXT / SIGMA
    return r * x + (1 - r) * effective


@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("how", ["mean", "strided"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_literal_equals_algorithm_1(scales, how, dtype):
    x = torch.randn(1, 3, 32, 32, dtype=dtype, generator=torch.Generator().manual_seed(1))
    fast = euler(x, MultiScaleParams(scales=scales, target="literal", weight=0.7, downsampling=how))
    weights = window_weights("gaussian", Size(8, 8)).to(dtype)

    def plan(height, width):
        return windows().plan(Size(height, width))

    slow = msd_step(x[0], SIGMA, SIGMA_NEXT, single(convolution()), plan, weights, 0.7, scales, how)
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)
    if scales > 1:  # and the guidance is no small thing here
        unguided = euler(x, MultiScaleParams(scales=1))
        assert (fast - unguided).abs().max() > 0.05


@pytest.mark.parametrize("target", ["matched", "jacobian_free"])
def test_matched_targets_equal_their_literal_loop(target):
    x = torch.randn(1, 3, 16, 24, dtype=torch.float64)
    fast = euler(x, MultiScaleParams(target=target, weight=3.0))
    weights = window_weights("gaussian", Size(8, 8)).double()
    slow = matched_msd_step(
        x[0],
        SIGMA,
        SIGMA_NEXT,
        single(convolution()),
        lambda height, width: windows().plan(Size(height, width)),
        weights,
        3.0,
        target == "jacobian_free",
    )
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9)


def test_jacobian_free_does_not_depend_on_the_number_of_steps():
    """It has a limit at infinitely many: guidance that adds up unseen while noise hides it would grow with them."""

    def sampled(count, weight):
        x = 40 * torch.randn(1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        params = msd(MultiScaleParams(weight=weight))
        sigmas = torch.logspace(math.log10(40), math.log10(0.02), count + 1).tolist()
        for index, (sigma, after) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
            at = Step(sigma=sigma, kept=after / sigma, index=index, count=count)
            x = at.kept * x + (1 - at.kept) * denoise_step(x, at, gaussian(), params)
        return x

    few, many, unguided = sampled(80, 10.0), sampled(320, 10.0), sampled(320, 0.0)
    assert (many - unguided).norm() > 0.1 * unguided.norm()
    assert (many - few).norm() < 0.15 * (many - unguided).norm()


@pytest.mark.parametrize("target", ["literal", "matched", "jacobian_free"])
@pytest.mark.parametrize("size", [(16, 24), (17, 23), (19, 32)])
@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
@pytest.mark.parametrize("batch", [1, 4])
def test_batches_of_windows_change_nothing_at_any_size(target, size, wrap, batch):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    params = MultiScaleParams(target=target, weight=2.0)
    whole = euler(x, params, plan=windows(wrap=wrap))
    torch.testing.assert_close(euler(x, params, plan=windows(wrap=wrap, batch=batch)), whole)
    assert whole.isfinite().all()


def test_weight_zero_and_one_scale_are_multidiffusion_bit_for_bit():
    x = torch.randn(1, 3, 16, 24)
    plain = denoise_jointly(x, SIGMA, convolution(), windows())
    for params in (MultiScaleParams(weight=0.0), MultiScaleParams(scales=1), MultiScaleParams(stop=0.0)):
        assert torch.equal(denoise_step(x, step(), convolution(), msd(params)), plain)


def test_literal_finds_nothing_to_correct_in_a_linear_pointwise_model():
    """At one noise level such a model commutes with ds; at a matched level the coarse canvas knows more."""
    x, model = torch.randn(1, 3, 16, 24, dtype=torch.float64), gaussian(0.0, 1.0)
    literal = guidance_shifts(x, step(), model, msd(MultiScaleParams(target="literal")))
    assert max(shift.abs().max() for shift in literal.values()) < 1e-12
    matched = guidance_shifts(x, step(), model, msd(MultiScaleParams(target="matched")))
    assert max(shift.abs().max() for shift in matched.values()) > 0.1


def test_matched_gradient_has_its_closed_form_for_a_gaussian_model():
    """D(x) = a x at sigma and b x at sigma / 2: loss = |a ds x - b ds x|^2, gradient = 2 a (a - b) us(ds x) / 4."""
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    one = WindowParams(window=Size(8, 8), stride=Size(8, 8))
    a, b = 1 / (1 + SIGMA**2), 1 / (1 + (SIGMA / 2) ** 2)
    shifts = guidance_shifts(x, step(), gaussian(), msd(MultiScaleParams(target="matched", weight=1.0), one))
    ((_, shift),) = shifts.items()
    coarse = x.unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).mean((-1, -3))
    expected = -2 * a * (a - b) * coarse.repeat_interleave(2, -1).repeat_interleave(2, -2) / 4
    torch.testing.assert_close(shift, expected)


@pytest.mark.parametrize("target", ["literal", "matched", "jacobian_free"])
def test_it_runs_under_inference_mode_with_inference_tensors(target):
    with torch.inference_mode():
        x = torch.randn(1, 3, 16, 16)
        out = euler(x, MultiScaleParams(target=target))
    assert out.isfinite().all() and not out.requires_grad


def test_jacobian_free_needs_no_gradients():
    def undifferentiable(views, sigma, windows, canvas):
        assert not views.requires_grad
        return gaussian()(views, sigma)

    euler(torch.randn(1, 3, 16, 16), MultiScaleParams(target="jacobian_free"), undifferentiable)


def test_flow_models_are_asked_at_a_level_whose_coefficients_sum_to_one():
    asked = []

    def model(views, sigma, windows, canvas):
        asked.append((canvas, sigma))
        return views

    x = torch.randn(1, 3, 16, 16)
    guidance_shifts(x, step(sigma=0.8, flow=True), model, msd(MultiScaleParams()))
    assert asked[0] == (Size(8, 8), pytest.approx(0.4 / 0.6))


@pytest.mark.parametrize(("target", "calls"), [("literal", 3), ("matched", 3), ("jacobian_free", 3)])
def test_model_calls(target, calls):
    """One for the coarse canvas, one to guide and one to denoise the fine one: no more than the method needs."""
    count = 0

    def model(views, sigma, windows, canvas):
        nonlocal count
        count += 1
        return convolution()(views, sigma)

    euler(torch.randn(1, 3, 16, 16), MultiScaleParams(target=target), model)
    assert count == calls


def test_the_weight_falls_as_the_paper_says():
    params = MultiScaleParams(weight=10, decay="cosine", stop=0.6)
    assert params.weight_at(0.0) == 10
    assert params.weight_at(0.5) == pytest.approx(5)
    assert params.weight_at(0.6) == 0
    assert MultiScaleParams(weight=10, decay="constant").weight_at(0.9) == 10


@pytest.mark.parametrize(
    ("target", "way_out"),
    [("matched", "use jacobian_free, which needs no gradient"), ("jacobian_free", "run the model in higher precision")],
)
def test_a_gradient_that_is_not_finite_is_an_error(target, way_out):
    with pytest.raises(
        FloatingPointError,
        match=rf"at sigma 1\.8 in the windows at x, y = \(0, 0\).* lower the weight, or {way_out}",
    ):
        euler(torch.randn(1, 3, 16, 16), MultiScaleParams(target=target), lambda v, *_, **__: v * float("nan"))


def test_scale_sizes_round_up():
    assert scale_sizes(Size(33, 128), 3) == [(33, 128), (17, 64), (9, 32)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": 0}, r"scales: must be in 1\.\.4, got 0"),
        ({"scales": 5}, r"scales: must be in 1\.\.4, got 5"),
        ({"weight": -1.0}, r"weight: must be a number of at least 0, got -1"),
        ({"weight": float("nan")}, r"weight: must be a number of at least 0, got nan"),
        ({"stop": 1.5}, r"stop: must be in 0\.\.1 \(a part of the steps\), got 1\.5"),
        ({"target": "free"}, r"target: must be jacobian_free, matched or literal, got 'free'"),
        ({"decay": "linear"}, r"decay: must be cosine or constant, got 'linear'"),
        ({"downsampling": "strided"}, r"downsampling: strided works with target literal only"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleParams(**options)

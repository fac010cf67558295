import math
from dataclasses import replace

import pytest
import torch
from analytic import convolution, gaussian, single
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Wrap, crop_batch
from joint_diffusion.core.joint_params import JointParams, check_canvas
from joint_diffusion.core.joint_step import Aids, denoise_step, guidance_shifts, predict_canvas
from joint_diffusion.core.methods.multidiffusion import WindowParams, denoise_jointly
from joint_diffusion.core.methods.multiscale import MultiScaleParams, multiscale_term, projection, scale_sizes
from joint_diffusion.core.methods.scale_map import ScaleMap
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.step import Step
from oracles import corrected_prediction, msd_step, project

SIGMA, SIGMA_NEXT = 1.8, 1.3
MAP = ScaleMap(torch.tensor([[0.8, 0.1, 0.0], [0.1, 0.9, 0.2], [0.0, 0.2, 0.7]]).double(), torch.ones(3).double())
KINDS = {"projected": MultiScaleParams(), "gradient": MultiScaleParams(guidance="gradient", weight=2.0)}


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 4), "weights": "gaussian", **options})


def step(**options):
    return Step(**{"sigma": SIGMA, "kept": SIGMA_NEXT / SIGMA, "index": 0, "count": 10, **options})


def msd(params, plan=None, **methods):
    return JointParams(windows=plan or windows(), multiscale=params, **methods)


def random_canvas(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def euler(x, params, model=None, plan=None):
    effective = denoise_step(x, step(), model or convolution(), msd(params, plan))
    r = SIGMA_NEXT / SIGMA
    return r * x + (1 - r) * effective


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True), Wrap(y=True, x=True)], ids=str)
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_the_projection_is_that_of_its_matrices(size, wrap):
    denoised = random_canvas(2, 3, *size)
    target = downsample(random_canvas(2, 3, *size, seed=2), 2)
    corrected = projection(target, 0.7, wrap)(denoised)
    for picture in range(2):
        expected = project(denoised[picture], target[picture], 0.7, wrap)
        torch.testing.assert_close(corrected[picture], expected, rtol=0, atol=1e-12)


def test_the_projection_is_linear():
    one, other = (random_canvas(1, 3, 8, 12, seed=seed) for seed in (1, 2))
    target, another = (random_canvas(1, 3, 4, 6, seed=seed) for seed in (3, 4))
    both = projection(2 * target - another, 0.6)(2 * one - other)
    torch.testing.assert_close(both, 2 * projection(target, 0.6)(one) - projection(another, 0.6)(other))


def test_at_full_strength_the_canvas_made_smaller_is_the_target_wherever_enlarging_can_be_undone():
    """Bicubic, then the mean of 2 x 2 keeps straight lines; of noise from cell to cell a part is left as it was."""
    denoised = random_canvas(1, 3, 16, 16)
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    plane = (0.3 * rows - 0.2 * columns + 1).double().expand(1, 3, 8, 8)
    shown = downsample(projection(downsample(denoised, 2) + plane, 1.0)(denoised), 2)
    torch.testing.assert_close((shown - downsample(denoised, 2))[..., 2:-2, 2:-2], plane[..., 2:-2, 2:-2])
    target = random_canvas(1, 3, 8, 8, seed=5)
    before, after = (downsample(d, 2) - target for d in (denoised, projection(target, 1.0)(denoised)))
    assert 0.05 * before.norm() < after.norm() < 0.4 * before.norm()


def mask(dtype=torch.float64):
    return lambda height, width: window_weights("gaussian", Size(height, width)).to(dtype)


@pytest.mark.parametrize(
    ("batch", "scales", "flow"),
    [(0, 1, False), (0, 2, True), (0, 3, False), (1, 2, False), (3, 2, False), (3, 3, True)],
)
def test_a_projected_step_equals_its_literal_loop(batch, scales, flow):
    x, sigma = random_canvas(1, 3, 24, 20), 0.7 if flow else SIGMA
    params = MultiScaleParams(scales=scales, strength=0.8)
    at, plan = step(sigma=sigma, flow=flow), windows(batch=batch, wrap=Wrap(x=scales < 3))
    fast = denoise_step(x, at, convolution(), msd(params, plan), Aids(scale_map=MAP))
    slow = corrected_prediction(
        x[0], sigma, single(convolution()), lambda *size: plan.plan(Size(*size)), mask(), scales,
        params.strength_at(at), flow, plan.wrap, (MAP.matrix, MAP.offset),
    )  # fmt: skip
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-10)
    unguided = denoise_step(x, at, convolution(), msd(None, plan))
    assert ((fast - unguided).abs().max() > 0.05) == (scales > 1)


@pytest.mark.parametrize(
    ("scales", "dtype"), [(1, torch.float64), (2, torch.float32), (2, torch.float64), (3, torch.float64)], ids=str
)
def test_the_gradient_equals_algorithm_1(scales, dtype):
    x = random_canvas(1, 3, 32, 32, dtype=dtype)
    params = MultiScaleParams(guidance="gradient", scales=scales, weight=0.7, decay="constant")
    fast = euler(x, params)

    def plan(height, width):
        return windows().plan(Size(height, width))

    slow = msd_step(x[0], SIGMA, SIGMA_NEXT, single(convolution()), plan, mask(dtype)(8, 8), 0.7, scales)
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-4)
    if scales > 1:  # and the guidance is no small thing here
        assert (fast - euler(x, MultiScaleParams(scales=1))).abs().max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "moving"), [((16, 24), True), ((17, 23), False)])
def test_batches_of_windows_change_nothing_at_any_size(kind, size, moving):
    x, plan = random_canvas(2, 3, *size), {"wrap": Wrap(x=True), "moving": moving}
    whole = euler(x, KINDS[kind], plan=windows(**plan))
    for batch in (1, 4):
        torch.testing.assert_close(euler(x, KINDS[kind], plan=windows(batch=batch, **plan)), whole)


def test_no_strength_and_one_scale_are_multidiffusion_bit_for_bit():
    x = torch.randn(1, 3, 16, 24)
    plain = denoise_jointly(x, SIGMA, convolution(), windows())
    off = MultiScaleParams(strength=0.0), MultiScaleParams(scales=1), MultiScaleParams(guidance="gradient", weight=0.0)
    for params in off:
        assert torch.equal(denoise_step(x, step(), convolution(), msd(params)), plain)
    low = step(sigma=0.2)  # below the roll-off
    plain = denoise_jointly(x, 0.2, convolution(), windows())
    assert torch.equal(denoise_step(x, low, convolution(), msd(MultiScaleParams())), plain)


def test_the_strength_goes_by_the_noise_level_alone():
    params = MultiScaleParams(strength=0.5)
    strengths = [params.strength_at(step(sigma=sigma)) for sigma in (80.0, 2.0, 1.0, 0.5, 0.1)]
    assert strengths == pytest.approx([0.5, 0.5, 0.25, 0, 0])
    assert params.strength_at(step(sigma=0.5, flow=True)) == params.strength_at(step(sigma=1.0, index=9, kept=0.1))
    paper = MultiScaleParams(guidance="gradient", weight=10.0)
    assert paper.strength_at(step(sigma=1e9)) == pytest.approx(10)
    assert paper.strength_at(step(sigma=1.0)) == pytest.approx(5)  # half of the way from noise to picture


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, 2, 16, 16)])
def test_it_runs_under_inference_mode_on_pictures_and_videos(kind, shape):
    model = gaussian() if len(shape) == 5 else convolution()
    with torch.inference_mode():
        out = euler(torch.randn(shape), KINDS[kind], model)
    assert out.isfinite().all()
    assert not out.requires_grad


def test_a_projection_asks_for_no_gradient_and_looks_once():
    seen = {}

    def model(views, sigma, windows, canvas):
        assert not views.requires_grad
        seen[canvas] = seen.get(canvas, 0) + len(views)
        return gaussian()(views, sigma)

    euler(torch.randn(1, 3, 32, 32), MultiScaleParams(), model)
    assert seen == {(32, 32): 49, (16, 16): 9, (8, 8): 1}


def test_coarse_canvases_are_asked_at_their_own_noise_level():
    asked = {}

    def model(views, sigma, windows, canvas):
        asked[canvas] = sigma
        return views

    x = torch.randn(1, 3, 16, 16)
    denoise_step(x, step(), model, msd(MultiScaleParams()))
    assert asked == {(16, 16): SIGMA, (8, 8): SIGMA / 2}
    asked.clear()
    denoise_step(x, step(sigma=0.8, flow=True), model, msd(MultiScaleParams()))
    assert asked == {(16, 16): 0.8, (8, 8): pytest.approx(0.4 / 0.6)}  # coefficients that sum to one


def test_windows_move_on_the_canvas_and_rest_on_the_coarse_ones():
    seen = {}

    def model(views, sigma, windows, canvas):
        seen[canvas] = windows
        return views

    params = msd(MultiScaleParams(), windows(moving=True, seed=4))
    denoise_step(torch.randn(1, 3, 16, 32), step(), model, params)
    assert seen[16, 32] == params.windows.at(SIGMA).plan(Size(16, 32))
    assert list(seen[8, 16]) == list(windows().plan(Size(8, 16)))


class Correlated:
    """Data whose true denoiser is known on canvases of any size: a row of cells with a correlation of 0.9 per cell.

    Windows know it too, but each only by itself.
    """

    def covariance(self, side):
        places = torch.arange(side, dtype=torch.float64)
        return 0.9 ** (places[:, None] - places).abs()

    def denoise(self, views, sigma, windows=(), canvas=None):
        joint = torch.kron(self.covariance(views.shape[-2]), self.covariance(views.shape[-1]))
        gain = joint @ torch.linalg.inv(joint + sigma**2 * torch.eye(len(joint), dtype=torch.float64))
        return (views.flatten(-2) @ gain).unflatten(-1, views.shape[-2:])


@pytest.mark.parametrize("moving", [False, True])
def test_what_windows_cannot_know_of_each_other_the_coarse_canvas_tells_them(moving):
    """Known answer: at high noise the true prediction of the whole canvas is nearer with the projection."""
    data, canvas = Correlated(), Size(16, 16)
    spread = torch.linalg.cholesky(data.covariance(16))
    picture = spread @ random_canvas(8, 1, 16, 16, seed=3) @ spread.T
    x = picture + 4 * random_canvas(8, 1, 16, 16, seed=4)
    truth = data.denoise(x, 4.0)
    plan = WindowParams(window=Size(8, 8), stride=Size(4, 4), moving=moving)
    unguided, guided = (
        (denoise_step(x, step(sigma=4.0), data.denoise, msd(params, plan)) - truth).norm()
        for params in (None, MultiScaleParams(scales=2))
    )
    assert check_canvas(canvas, msd(MultiScaleParams(scales=2), plan)) is None
    assert guided < 0.8 * unguided


@pytest.mark.parametrize(
    ("canvas", "scales"),
    [((16, 128), 1), ((32, 128), 2), ((64, 64), 3), ((128, 128), 4), ((128, 32), 4), ((17, 100), 2), ((16, 17), 1)],
)
def test_as_many_scales_as_the_canvas_asks_for(canvas, scales):
    plan = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=4)
    assert MultiScaleParams().scales_of(Size(*canvas), plan) == scales
    seen = []
    x = torch.randn(1, 1, *canvas)
    denoise_step(x, step(sigma=5.0), lambda v, s, w, c: seen.append(c) or v, msd(MultiScaleParams(), plan))
    assert set(seen) == set(scale_sizes(Size(*canvas), scales))


def test_a_side_that_wraps_keeps_a_whole_window():
    plan = WindowParams(window=Size(16, 16), stride=Size(8, 8), wrap=Wrap(x=True))
    assert MultiScaleParams().scales_of(Size(64, 40), plan) == 2
    with pytest.raises(ValueError, match=r"scales: with 3 scales the width .* down to 10 .* at least 16 \(it wraps\)"):
        check_canvas(Size(64, 40), msd(MultiScaleParams(scales=3), plan))


def test_more_scales_than_the_canvas_has_are_refused():
    message = r"scales: with 4 scales the height of the canvas comes down to 2 latent cells and must be at least 4"
    with pytest.raises(ValueError, match=message):
        check_canvas(Size(16, 64), msd(MultiScaleParams(scales=4)))
    check_canvas(Size(16, 64), msd(MultiScaleParams(scales=4, strength=0.0)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("scales", "least"), [(2, 2), (3, 3), (4, 5)])
def test_a_canvas_too_small_to_be_halved_is_refused_and_no_other_one(scales, least, turned, kind):
    plan = WindowParams(window=Size(2, 2), stride=Size(2, 2))
    params = msd(replace(KINDS[kind], scales=scales), plan)
    axis = "width" if turned else "height"
    message = rf"scales: with {scales} scales, .* the {axis} of the canvas must be at least {least} latent cells, got "
    for side in range(1, 8):
        canvas = Size(16, side) if turned else Size(side, 16)
        x = random_canvas(1, 3, *canvas)
        if side >= least:
            check_canvas(canvas, params)
            assert denoise_step(x, step(), convolution(), params).isfinite().all()
            continue
        with pytest.raises(ValueError, match=rf"{message}{side}\. Use fewer scales .* or a canvas of a larger {axis}"):
            check_canvas(canvas, params)
        with pytest.raises(ValueError, match=r"downsample: sides must be at least 2 cells"):
            denoise_step(x, step(), convolution(), params)


def test_a_canvas_one_cell_wide_is_not_halved_by_itself():
    plan = WindowParams(window=Size(2, 2), stride=Size(2, 2))
    assert MultiScaleParams().scales_of(Size(64, 1), plan) == 1
    assert MultiScaleParams().scales_of(Size(64, 2), plan) == 2
    params = msd(KINDS["projected"], plan)
    assert denoise_step(random_canvas(1, 3, 64, 1), step(), convolution(), params).isfinite().all()


def test_windows_of_one_cell_have_no_halves_to_compare():
    plan = WindowParams(window=Size(1, 8), stride=Size(1, 4))
    message = (
        r"guidance: with gradient, .* height of a window must be at least 2 latent cells, got 1\. Make the windows"
    )
    with pytest.raises(ValueError, match=message):
        check_canvas(Size(16, 16), msd(replace(KINDS["gradient"], scales=2), plan))
    params = msd(replace(KINDS["projected"], scales=2), plan)
    check_canvas(Size(16, 16), params)
    assert denoise_step(random_canvas(1, 3, 16, 16), step(), convolution(), params).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["latent", "prediction"])
def test_what_is_not_finite_is_an_error_that_names_step_and_place(where, kind):
    x = torch.randn(1, 3, 16, 16)
    if where == "latent":
        x[..., 3:5, 9] = float("nan")

    def model(views, sigma, windows, canvas):
        views = gaussian()(views, sigma)
        return views if where == "latent" else views * float("inf")

    place = r"the latent is not finite .* at x 9\.\.9, y 3\.\.4" if where == "latent" else ".* not finite"
    with pytest.raises(FloatingPointError, match=rf"step 1 of 10 \(sigma 1\.8\): {place}"):
        denoise_step(x, step(), model, msd(KINDS[kind]))
    with pytest.raises(FloatingPointError, match=r"step 1 of 10"):
        denoise_step(x, step(), model, msd(None))


def test_scale_sizes_round_up():
    assert scale_sizes(Size(33, 128), 3) == [(33, 128), (17, 64), (9, 32)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": -1}, r"scales: must be in 1\.\.4, or 0 for as many as the canvas asks for, got -1"),
        ({"scales": 5}, r"scales: must be in 1\.\.4, or 0 .*, got 5"),
        ({"guidance": "matched"}, r"guidance: must be projected or gradient, got 'matched'"),
        ({"strength": 1.5}, r"strength: must be in 0\.\.1, got 1\.5"),
        ({"weight": -1.0}, r"weight: must be a number of at least 0, got -1"),
        ({"weight": float("nan")}, r"weight: must be a number of at least 0, got nan"),
        ({"decay": "linear"}, r"decay: must be cosine or constant, got 'linear'"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleParams(**options)


@pytest.mark.parametrize(("done", "part"), [(0.0, 1.0), (0.25, 0.8536), (0.5, 0.5), (0.75, 0.1464)])
def test_the_weight_of_the_gradient_falls_by_a_cosine(done, part):
    params = MultiScaleParams(guidance="gradient", weight=4.0)
    at = Step(sigma=math.tan((1 - done) * math.pi / 2))
    assert params.strength_at(at) == pytest.approx(4 * part, rel=1e-3)


def test_where_the_coarse_canvas_is_next_does_not_depend_on_the_noise_that_the_sampler_adds():
    """Flow models: `shift_kept` differs between samplers that add noise and those that do not."""
    x, params = random_canvas(1, 3, 16, 32), MultiScaleParams(guidance="gradient", scales=3)
    denoise = convolution()
    steps = [Step(sigma=0.6, kept=0.5, flow=True, span=span) for span in (None, (0.6, 0.45))]
    assert steps[0].shift_kept != pytest.approx(steps[1].shift_kept)
    one, other = (multiscale_term(x, at, denoise, windows(), params) for at in steps)
    plan = windows().plan(Size(16, 32))
    views = crop_batch(x, plan)
    torch.testing.assert_close(one.loss(views, 0.5 * views, plan), other.loss(views, 0.5 * views, plan))


def test_a_step_that_goes_nowhere_is_not_guided():
    params = msd(KINDS["gradient"])
    assert guidance_shifts(random_canvas(1, 3, 16, 16), step(kept=1.0), convolution(), params) is None


def test_cross_sampling_and_crop_fusion_act_on_coarse_canvases_too():
    plan, at = windows(weights="uniform"), Step(sigma=5.0)
    cross = msd(KINDS["projected"], plan, cross_sampling=CrossSamplingParams())
    offsets = {cross.windows_at(Step(sigma=sigma), coarse=True).offset for sigma in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)}
    assert len(offsets) == 2

    def coarse_weights(crop_fusion):
        found = {}

        def predict(canvas, _sigma, look):
            found[canvas.shape[-2:]] = look.weights
            return canvas

        predict_canvas(random_canvas(1, 3, 16, 32), at, predict, msd(MultiScaleParams(), plan, crop_fusion=crop_fusion))
        return found[8, 16]

    plain, fused = coarse_weights(None), coarse_weights(CropFusionParams())
    assert any(not torch.equal(plain[window], fused[window]) for window in plain)

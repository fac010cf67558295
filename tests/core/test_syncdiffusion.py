import weakref

import pytest
import torch
from analytic import MeanAndSpread, convolution, gaussian, single
from joint_diffusion.core.fusion import window_weights
from joint_diffusion.core.joint_step import JointParams, check_canvas, denoise_step, guidance_shifts
from joint_diffusion.core.multidiffusion import WindowParams, denoise_jointly
from joint_diffusion.core.similarity import LatentSimilarity, PictureSimilarity
from joint_diffusion.core.step import Step
from joint_diffusion.core.syncdiffusion import SyncParams, anchors_first
from joint_diffusion.core.windows import Size, Window, Wrap
from oracles import ddim_step, fuse, latent_distance, look, sync_diffusion_step

SIGMA, SIGMA_NEXT = 1.8, 1.3
STRENGTH = 0.3  # of a gradient, in the tests that do not ask about a scale


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(8, 4), "weights": "gaussian", **options})


def step(index=0, **options):
    return Step(**{"sigma": SIGMA, "kept": SIGMA_NEXT / SIGMA, "index": index, "count": 10, **options})


def sync(params, plan=None):
    return JointParams(windows=plan or windows(), sync=params)


def euler(x, params, model=None, plan=None, at=None, similarity=None):
    at = at or step()
    effective = denoise_step(x, at, model or convolution(), sync(params, plan), similarity)
    return at.kept * x + (1 - at.kept) * effective


def decode(latent):
    """A decoder with a nonlinearity: 2 x 2 pixels to a cell."""
    return torch.tanh(latent).repeat_interleave(2, -1).repeat_interleave(2, -2) + 0.1 * latent.mean()


def random_canvas(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_a_picture_loss_equals_algorithm_1(batch, wrap):
    """Eq. 14 in the paper's x_t, through the model and a decoder."""
    x, plan = random_canvas(1, 3, 8, 24), windows(batch=batch, wrap=wrap)
    similarity = PictureSimilarity(MeanAndSpread(), decode_each, at_once=2)
    params = SyncParams(weight=10.0, jacobian_free=False)
    fast = euler(x, params, plan=plan, similarity=similarity)
    views = plan.plan(Size(8, 24))
    anchor = params.anchor_of(views, Size(8, 24))[views[0]]

    def loss(denoised, reference):
        return similarity.distance(denoised[None], similarity.features(reference[None])).sum()

    weights = window_weights("gaussian", Size(8, 8)).double()
    slow = sync_diffusion_step(x[0], SIGMA, SIGMA_NEXT, single(convolution()), views, weights, 10.0, anchor, loss)
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9)
    assert (fast - euler(x, SyncParams(weight=0.0), plan=plan)).abs().max() > 0.02


def decode_each(latents):
    """`decode` view by view, since one view must not depend on another."""
    return torch.cat([decode(latent[None]) for latent in latents])


@pytest.mark.parametrize("jacobian_free", [True, False])
def test_the_latent_loss_equals_its_literal_loop(jacobian_free):
    x, plan, model = random_canvas(1, 3, 8, 24), windows(), single(convolution())
    fast = euler(x, SyncParams(weight=20.0, jacobian_free=jacobian_free))
    views = plan.plan(Size(8, 24))
    anchor = views[len(views) // 2]
    reference = model(look(x[0], anchor), SIGMA)
    stepped = []
    for window in views:
        view = look(x[0], window).requires_grad_()
        if window != anchor:
            seen = model(view, SIGMA)
            if jacobian_free:
                seen = seen.detach().requires_grad_()
            latent_distance(seen, reference).backward()
            gradient = seen.grad if jacobian_free else view.grad
            view = (view - 20.0 * gradient).detach()
        stepped.append(ddim_step(view, SIGMA, SIGMA_NEXT, model).detach())
    slow = fuse(stepped, views, x.shape[1:], window_weights("gaussian", Size(8, 8)).double())
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9)


def test_the_full_weight_moves_the_mean_of_a_window_to_its_anchor():
    """Known answer: of a model that predicts x itself the whole difference is gone after one gradient."""
    x = random_canvas(1, 3, 8, 24)
    x[..., :8] += 2
    shifts = guidance_shifts(x, step(), lambda v, *_: v, sync(SyncParams(weight=LatentSimilarity.FULL_WEIGHT)))
    anchor = x[..., 8:16].mean((-2, -1))
    for window, shift in shifts.items():
        moved = x[..., window.left : window.left + 8] + shift
        torch.testing.assert_close(moved.mean((-2, -1)), anchor)


def test_the_contrast_of_a_window_comes_to_that_of_its_anchor_without_overshooting():
    """Channels that vary together, five times as much as one alone: step after step the difference falls."""
    x = random_canvas(1, 1, 8, 24) * torch.tensor([1.0, 1.2, 0.9, 1.1], dtype=torch.float64)[:, None, None]
    x[..., :8] *= 1.4
    similarity, plan = LatentSimilarity(), windows(stride=Size(8, 8))
    params = sync(SyncParams(weight=LatentSimilarity.FULL_WEIGHT), plan)
    differences = []
    for _ in range(4):
        covariances = [similarity.features(x[..., left : left + 8])[1] for left in (0, 8)]
        differences.append((covariances[0] - covariances[1]).norm().item())
        shifts = guidance_shifts(x, step(), lambda v, *_: v, params)
        x[..., :8] += next(shift for window, shift in shifts.items() if window.left == 0)
    assert covariances[1].norm() > 3  # a plain square of the difference would have this for a factor
    assert all(after < 0.5 * before for before, after in zip(differences, differences[1:], strict=False))


@pytest.mark.parametrize("flat", ["anchor", "window", "both"])
def test_a_window_without_contrast_is_no_singularity(flat):
    x = random_canvas(1, 3, 8, 24)
    for name, left in (("window", 0), ("anchor", 8)):
        if flat in (name, "both"):
            x[..., left : left + 8] = x[..., :1, left : left + 1]
    full = SyncParams(weight=LatentSimilarity.FULL_WEIGHT)
    shifts = guidance_shifts(x, step(), lambda v, *_: v, sync(full, windows(stride=Size(8, 8))))
    assert all(shift.isfinite().all() and shift.abs().max() < 8 for shift in shifts.values())


def test_latent_features_forget_where_things_are():
    view = random_canvas(1, 4, 6, 6)
    shuffled = view.flatten(2)[..., torch.randperm(36)].unflatten(2, (6, 6))
    similarity = LatentSimilarity()
    anchor = similarity.features(view)
    assert similarity.distance(shuffled, anchor).item() < 1e-20
    more_contrast = view * 1.5 - 0.5 * view.mean((-2, -1), keepdim=True)
    for different in (view + 1, more_contrast):
        assert similarity.distance(different, anchor).item() > 1e-3


@pytest.mark.parametrize("jacobian_free", [True, False])
@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_batches_of_windows_change_nothing(jacobian_free, batch, wrap):
    x = random_canvas(2, 3, 20, 23)
    params = SyncParams(weight=STRENGTH * 40, jacobian_free=jacobian_free)
    whole = euler(x, params, plan=windows(wrap=wrap))
    torch.testing.assert_close(euler(x, params, plan=windows(wrap=wrap, batch=batch)), whole)


def test_pictures_of_a_batch_are_synchronised_each_with_its_own_anchor():
    x = random_canvas(2, 3, 8, 24)
    both = euler(x, SyncParams())
    torch.testing.assert_close(both, torch.cat([euler(picture, SyncParams()) for picture in x.split(1)]))


def test_anchors_do_not_move_and_rows_have_their_own():
    x, plan = random_canvas(1, 3, 24, 24), windows()
    for anchors, count in (("one per row", 3), ("one", 1)):
        shifts = guidance_shifts(x, step(), convolution(), sync(SyncParams(anchors=anchors), plan))
        still = [window for window, shift in shifts.items() if not shift.any()]
        assert len(still) == count and {window.left for window in still} == {8}


@pytest.mark.parametrize(("place", "left"), [(0.0, 0), (0.5, 8), (0.6, 12), (1.0, 16)])
def test_the_anchor_is_the_window_nearest_to_its_place(place, left):
    plan, canvas = windows().plan(Size(8, 24)), Size(8, 24)
    anchor_of = SyncParams(anchor_place=(0.5, place)).anchor_of(plan, canvas)
    assert set(anchor_of.values()) == {Window(0, left, 8, 8)}


def test_around_a_loop_the_window_over_the_edge_is_near_both_ends():
    plan = windows(wrap=Wrap(x=True)).plan(Size(8, 24))
    for place in (0.0, 1.0):
        anchor = SyncParams(anchor_place=(0.5, place)).anchor_of(plan, Size(8, 24))[plan[0]]
        assert (anchor.left + 4) % 24 == (0 if place == 0.0 else anchor.left + 4)


def test_anchors_come_first_and_nobody_is_lost():
    plan = windows().plan(Size(24, 24))
    anchor_of = SyncParams().anchor_of(plan, Size(24, 24))
    ordered = anchors_first(plan, anchor_of)
    assert sorted(ordered) == sorted(plan)
    assert all(ordered.index(anchor_of[window]) <= ordered.index(window) for window in plan)


@pytest.mark.parametrize("off", [{"weight": 0.0}, {"stop": 0.0}, {"every": 3}])
def test_without_weight_it_is_multidiffusion_bit_for_bit(off):
    x = torch.randn(1, 3, 8, 24)
    plain = denoise_jointly(x, SIGMA, convolution(), windows())
    assert torch.equal(denoise_step(x, step(index=4), convolution(), sync(SyncParams(**off))), plain)


def test_the_weight_falls_from_step_to_step():
    params = SyncParams(weight=20, decay=0.9, every=2, stop=0.5)
    weights = [params.weight_at(step(index)) for index in range(10)]
    assert weights == pytest.approx([20, 0, 20 * 0.9**2, 0, 20 * 0.9**4, 0, 0, 0, 0, 0])


def test_the_stop_means_the_same_in_any_number_of_steps():
    for count in (8, 50):
        guided = [SyncParams(stop=0.5).weight_at(step(index, count=count)) > 0 for index in range(count)]
        assert sum(guided) == count / 2


@pytest.mark.parametrize("jacobian_free", [True, False])
def test_no_evaluation_more_than_needed(jacobian_free):
    """Every window once to guide, the anchor among them, and once to denoise."""
    seen = 0

    def model(views, *_):
        nonlocal seen
        seen += len(views)
        return 0.5 * views

    euler(torch.randn(1, 3, 8, 24), SyncParams(jacobian_free=jacobian_free), model, windows(batch=2))
    assert seen == 2 * len(windows().plan(Size(8, 24)))


def test_jacobian_free_asks_the_model_for_no_gradient():
    def undifferentiable(views, *_):
        assert not views.requires_grad and not torch.is_grad_enabled()
        return gaussian()(views, SIGMA)

    with torch.no_grad():
        euler(torch.randn(1, 3, 8, 24), SyncParams(), undifferentiable)


@pytest.mark.parametrize("jacobian_free", [True, False])
def test_it_runs_under_inference_mode_and_on_latents_with_time(jacobian_free):
    with torch.inference_mode():
        out = euler(torch.randn(1, 3, 1, 8, 24), SyncParams(jacobian_free=jacobian_free), gaussian())
    assert out.isfinite().all() and not out.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, r"weight: must be a number of at least 0, got -1"),
        ({"weight": float("inf")}, r"weight: must be a number of at least 0, got inf"),
        ({"decay": 1.5}, r"decay: must be in 0\.\.1 \(a factor per step\), got 1\.5"),
        ({"every": 0}, r"every: must be 1 \(each step\) or more, got 0"),
        ({"stop": -0.1}, r"stop: must be in 0\.\.1 \(a part of the steps\), got -0\.1"),
        ({"anchors": "two"}, r"anchors: must be one per row or one, got 'two'"),
        ({"anchor_place": (0.5, 2.0)}, r"anchor x: must be in 0\.\.1 \(a part of the canvas\), got 2"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SyncParams(**options)


def test_a_single_column_has_one_anchor():
    plan = windows(stride=Size(4, 8)).plan(Size(24, 8))
    anchor_of = SyncParams(anchors="one per row").anchor_of(plan, Size(24, 8))
    assert set(anchor_of.values()) == {Window(8, 0, 8, 8)}


def test_around_a_loop_the_shorter_way_to_the_anchor_counts():
    plan = windows(wrap=Wrap(x=True), stride=Size(8, 6)).plan(Size(8, 24))  # centres at 4, 10, 16, 22
    params = SyncParams(anchor_place=(0.5, 0.0))
    assert params.anchor_of(plan, Size(8, 24), Wrap(x=True))[plan[0]].left == 18
    assert params.anchor_of(plan, Size(8, 24))[plan[0]].left == 0


def test_a_single_window_has_nothing_to_be_synchronised_with():
    with pytest.raises(ValueError, match="one window of 8 x 8 latent cells .* turn Sync Guidance off"):
        check_canvas(Size(8, 8), sync(SyncParams()))
    check_canvas(Size(8, 8), sync(SyncParams(weight=0.0)))


def test_only_the_anchors_of_two_rows_are_remembered_at_a_time():
    """In batches of 4 windows a batch may end one row and begin the next."""
    alive, most = set(), 0

    class Watched(LatentSimilarity):
        def features(self, denoised):
            nonlocal most
            features = super().features(denoised)
            if not denoised.requires_grad:
                alive.add(id(features[0]))
                weakref.finalize(features[0], alive.discard, id(features[0]))
                most = max(most, len(alive))
            return features

    x = random_canvas(1, 3, 64, 24)
    guidance_shifts(x, step(), convolution(), sync(SyncParams(), windows(batch=4)), Watched())
    assert most <= 3

import weakref
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from analytic import MeanAndSpread, convolution, gaussian, single
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.windows import Size, Window, Wrap
from joint_diffusion.core.joint_params import JointParams, check_canvas
from joint_diffusion.core.joint_step import Aids, denoise_step, guidance_shifts
from joint_diffusion.core.methods.multidiffusion import WindowParams, denoise_jointly
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import DIRECT, SyncParams, anchors_first, synchronised
from joint_diffusion.core.perception.similarity import LatentSimilarity, PictureSimilarity
from joint_diffusion.core.step import Step
from oracles import corrected_prediction, ddim_step, fuse, latent_distance, look, sync_diffusion_step, synchronise

SIGMA, SIGMA_NEXT = 1.8, 1.3
STRENGTH = 0.3  # of a gradient, in the tests that do not ask about a scale


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(8, 4), "weights": "gaussian", **options})


def step(index=0, **options):
    return Step(**{"sigma": SIGMA, "kept": SIGMA_NEXT / SIGMA, "index": index, "count": 10, **options})


def sync(params, plan=None, **methods):
    return JointParams(windows=plan or windows(), sync=params, **methods)


def paper(**options):
    """Guidance to the letter; at the paper's weight in the first step."""
    return SyncParams(guidance="gradient", decay=1.0, **options)


def by(similarity):
    return Aids(comparing=lambda _: nullcontext(similarity or LatentSimilarity()))


def euler(x, params, model=None, plan=None, at=None, similarity=None):
    at = at or step()
    effective = denoise_step(x, at, model or convolution(), sync(params, plan), by(similarity))
    return at.kept * x + (1 - at.kept) * effective


def decode(latent):
    """A decoder with a nonlinearity: 2 x 2 pixels to a cell."""
    return torch.tanh(latent).repeat_interleave(2, -1).repeat_interleave(2, -2) + 0.1 * latent.mean()


def random_canvas(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("batch", "wrap"), [(0, Wrap()), (1, Wrap(x=True)), (2, Wrap(x=True))], ids=str)
def test_a_picture_loss_equals_algorithm_1(batch, wrap):
    """Eq. 14 in the paper's x_t, through the model and a decoder."""
    x, plan = random_canvas(1, 3, 8, 24), windows(batch=batch, wrap=wrap)
    similarity = PictureSimilarity(MeanAndSpread(), decode_each, at_once=2)
    params = paper(weight=10.0)
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


def test_the_latent_loss_through_the_model_equals_its_literal_loop():
    x, plan, model = random_canvas(1, 3, 8, 24), windows(), single(convolution())
    fast = euler(x, paper(weight=20.0))
    views = plan.plan(Size(8, 24))
    anchor = views[len(views) // 2]
    reference = model(look(x[0], anchor), SIGMA)
    stepped = []
    for window in views:
        view = look(x[0], window).requires_grad_()
        if window != anchor:
            latent_distance(model(view, SIGMA), reference).backward()
            view = (view - 20.0 * view.grad).detach()
        stepped.append(ddim_step(view, SIGMA, SIGMA_NEXT, model).detach())
    slow = fuse(stepped, views, x.shape[1:], window_weights("gaussian", Size(8, 8)).double())
    torch.testing.assert_close(fast[0], slow, rtol=0, atol=1e-9)


def literally(x, plan, params, scales=1, strength=0.0):
    """`direct` window by window, on all scales."""

    def mask(height, width):
        return window_weights("gaussian", Size(height, width)).double()

    def synchronous(denoised):
        size = Size(*denoised.shape[1:])
        views = plan.plan(size)
        k, anchor_of = params.weight_at(step()), params.anchor_of(views, size, plan.wrap)
        return synchronise(denoised, views, mask(views[0].height, views[0].width), k, anchor_of, latent_distance)

    return corrected_prediction(
        x, SIGMA, single(convolution()), lambda *size: plan.plan(Size(*size)), mask, scales, strength,
        wrap=plan.wrap, sync=synchronous,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scales", "batch", "wrap"),
    [(1, 0, Wrap()), (1, 3, Wrap(x=True)), (2, 0, Wrap(x=True)), (2, 1, Wrap()), (2, 3, Wrap())],
    ids=str,
)
def test_direct_equals_its_literal_loop_on_all_scales(scales, batch, wrap):
    """With Multi-Scale the coarse canvas is synchronised as well, each before it is projected."""
    x, plan = random_canvas(1, 3, 16, 24), windows(batch=batch, wrap=wrap, stride=Size(4, 4))
    params, multiscale = SyncParams(weight=20.0), MultiScaleParams(scales=scales)
    joint = sync(params, plan, multiscale=multiscale)
    slow = literally(x[0], plan, params, scales, multiscale.strength_at(step()))
    torch.testing.assert_close(denoise_step(x, step(), convolution(), joint)[0], slow, rtol=0, atol=1e-10)
    without = denoise_step(x, step(), convolution(), sync(SyncParams(weight=0.0), plan, multiscale=multiscale))
    assert (slow - without[0]).abs().max() > 0.05


def test_direct_is_the_gradient_at_the_prediction():
    """Of one window beside the anchor, without overlap: D' = D - k grad L(D)."""
    x, plan = random_canvas(1, 3, 8, 16), windows(stride=Size(8, 8))
    params = SyncParams(weight=7.0, anchor_place=(0.5, 0.0))
    moved = synchronised(x, step(), plan, params, LatentSimilarity())
    leaf = x[0, ..., 8:].clone().requires_grad_()
    latent_distance(leaf, x[0, ..., :8]).backward()
    torch.testing.assert_close(moved[0, ..., 8:], leaf.detach() - 7.0 * DIRECT * leaf.grad)
    assert torch.equal(moved[..., :8], x[..., :8])


def test_direct_compares_decoded_pictures_without_a_gradient_through_the_model():
    x, similarity = random_canvas(1, 3, 8, 24), PictureSimilarity(MeanAndSpread(), decode_each, at_once=2)

    def model(views, *_):
        assert not views.requires_grad
        return convolution()(views, SIGMA)

    params, plan = SyncParams(weight=10.0), windows()
    denoised = denoise_step(x, step(), model, sync(params, plan), by(similarity))
    plain = denoise_jointly(x, SIGMA, convolution(), plan)

    def loss(view, anchor):
        return similarity.distance(view[None], similarity.features(anchor[None])).sum()

    views, size = plan.plan(Size(8, 24)), Size(8, 24)
    mask = window_weights("gaussian", Size(8, 8)).double()
    slow = synchronise(plain[0], views, mask, params.weight_at(step()), params.anchor_of(views, size), loss)
    torch.testing.assert_close(denoised[0], slow, rtol=0, atol=1e-9)
    assert (slow - plain[0]).abs().max() > 0.02


def test_the_full_weight_moves_the_mean_of_a_window_to_its_anchor():
    """Known answer: of a model that predicts x itself the whole difference is gone after one gradient."""
    x = random_canvas(1, 3, 8, 24)
    x[..., :8] += 2
    shifts = guidance_shifts(x, step(), lambda v, *_: v, sync(paper(weight=LatentSimilarity.FULL_WEIGHT)))
    anchor = x[..., 8:16].mean((-2, -1))
    for window, shift in shifts.items():
        moved = x[..., window.left : window.left + 8] + shift
        torch.testing.assert_close(moved.mean((-2, -1)), anchor)


def test_the_contrast_of_a_window_comes_to_that_of_its_anchor_without_overshooting():
    """Channels that vary together, five times as much as one alone: step after step the difference falls."""
    x = random_canvas(1, 1, 8, 24) * torch.tensor([1.0, 1.2, 0.9, 1.1], dtype=torch.float64)[:, None, None]
    x[..., :8] *= 1.4
    similarity, plan = LatentSimilarity(), windows(stride=Size(8, 8))
    params = sync(paper(weight=LatentSimilarity.FULL_WEIGHT), plan)
    differences = []
    for _ in range(4):
        covariances = [similarity.features(x[..., left : left + 8])[1] for left in (0, 8)]
        differences.append((covariances[0] - covariances[1]).norm().item())
        shifts = guidance_shifts(x, step(), lambda v, *_: v, params)
        x[..., :8] += next(shift for window, shift in shifts.items() if window.left == 0)
    assert covariances[1].norm() > 3  # a plain square of the difference would have this for a factor
    assert all(after < 0.5 * before for before, after in pairwise(differences))


@pytest.mark.parametrize("flat", ["anchor", "window", "both"])
def test_a_window_without_contrast_is_no_singularity(flat):
    x = random_canvas(1, 3, 8, 24)
    for name, left in (("window", 0), ("anchor", 8)):
        if flat in (name, "both"):
            x[..., left : left + 8] = x[..., :1, left : left + 1]
    full = paper(weight=LatentSimilarity.FULL_WEIGHT)
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


@pytest.mark.parametrize("params", [SyncParams(weight=12.0), paper(weight=12.0)], ids=["direct", "gradient"])
@pytest.mark.parametrize("options", [{}, {"wrap": Wrap(x=True)}, {"moving": True}], ids=str)
def test_batches_of_windows_change_nothing(params, options):
    x = random_canvas(2, 3, 20, 23)
    whole = euler(x, params, plan=windows(**options))
    for batch in (1, 3):
        torch.testing.assert_close(euler(x, params, plan=windows(batch=batch, **options)), whole)


def test_pictures_of_a_batch_are_synchronised_each_with_its_own_anchor():
    x = random_canvas(2, 3, 8, 24)
    both = euler(x, SyncParams())
    torch.testing.assert_close(both, torch.cat([euler(picture, SyncParams()) for picture in x.split(1)]))


def test_anchors_do_not_move_and_rows_have_their_own():
    x, plan = random_canvas(1, 3, 24, 24), windows()
    for anchors, count in (("one per row", 3), ("one", 1)):
        shifts = guidance_shifts(x, step(), convolution(), sync(paper(anchors=anchors), plan))
        still = [window for window, shift in shifts.items() if not shift.any()]
        assert len(still) == count
        assert {window.left for window in still} == {8}


@pytest.mark.parametrize(("place", "left"), [(0.0, 0), (0.5, 8), (0.6, 12), (1.0, 16)])
def test_the_anchor_is_the_window_nearest_to_its_place(place, left):
    plan, canvas = windows().plan(Size(8, 24)), Size(8, 24)
    anchor_of = SyncParams(anchor_place=(0.5, place)).anchor_of(plan, canvas)
    assert set(anchor_of.values()) == {Window(0, left, 8, 8)}


def test_around_a_loop_the_window_over_the_edge_is_near_both_ends():
    wrap = Wrap(x=True)
    plan = windows(wrap=wrap).plan(Size(8, 24))
    for place in (0.0, 1.0):
        anchor = SyncParams(anchor_place=(0.5, place)).anchor_of(plan, Size(8, 24), wrap)[plan[0]]
        assert anchor.left == 20  # its middle is where the canvas begins


def test_anchors_come_first_and_nobody_is_lost():
    plan = windows().plan(Size(24, 24))
    anchor_of = SyncParams().anchor_of(plan, Size(24, 24))
    ordered = anchors_first(plan, anchor_of)
    assert sorted(ordered) == sorted(plan)
    assert all(ordered.index(anchor_of[window]) <= ordered.index(window) for window in plan)


@pytest.mark.parametrize("off", [SyncParams(weight=0.0), paper(weight=0.0)], ids=["direct", "gradient"])
def test_without_weight_it_is_multidiffusion_bit_for_bit(off):
    x = torch.randn(1, 3, 8, 24)
    plain = denoise_jointly(x, SIGMA, convolution(), windows())
    assert torch.equal(denoise_step(x, step(index=4), convolution(), sync(off)), plain)


def test_the_weight_goes_by_the_noise_level_alone():
    direct = [SyncParams(weight=20.0).weight_at(step(sigma=sigma)) for sigma in (80.0, 0.3, 0.03, 0.01)]
    assert direct == pytest.approx([20 * DIRECT, 20 * DIRECT, 0, 0])
    decays = SyncParams(guidance="gradient", weight=20.0, decay=0.9)
    assert decays.weight_at(step(sigma=1.0, index=9)) == pytest.approx(20 * 0.9**25)  # half of fifty steps
    assert decays.weight_at(step(sigma=0.5, flow=True)) == decays.weight_at(step(sigma=1.0))


@pytest.mark.parametrize(("params", "looks"), [(SyncParams(), 1), (paper(), 2)], ids=["direct", "gradient"])
def test_no_evaluation_more_than_needed(params, looks):
    """Every window once to denoise; to be moved, once more, the anchor among them."""
    seen = 0

    def model(views, *_):
        nonlocal seen
        seen += len(views)
        return 0.5 * views

    euler(torch.randn(1, 3, 8, 24), params, model, windows(batch=2))
    assert seen == looks * len(windows().plan(Size(8, 24)))


@pytest.mark.parametrize("params", [SyncParams(), paper()], ids=["direct", "gradient"])
def test_it_runs_under_inference_mode_and_on_latents_with_time(params):
    with torch.inference_mode():
        out = euler(torch.randn(1, 3, 1, 8, 24), params, gaussian())
    assert out.isfinite().all()
    assert not out.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, r"weight: must be a number of at least 0, got -1"),
        ({"weight": float("inf")}, r"weight: must be a number of at least 0, got inf"),
        ({"decay": 1.5}, r"decay: must be in 0\.\.1 \(a factor\), got 1\.5"),
        ({"guidance": "free"}, r"guidance: must be direct or gradient, got 'free'"),
        ({"anchors": "two"}, r"anchors: must be one per row or one, got 'two'"),
        ({"anchor_place": (0.5, 2.0)}, r"anchor_place x: must be in 0\.\.1 \(a part of the canvas\), got 2"),
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
    with pytest.raises(ValueError, match=r"one window of 8 x 8 latent cells .* turn Sync Guidance off"):
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
    guidance_shifts(x, step(), convolution(), sync(paper(), windows(batch=4)), Watched())
    assert most <= 3


def test_a_middle_beyond_the_edge_is_as_far_as_behind_the_other_edge():
    """Middles at 0 and at 1 of 30 cells: the first is where the anchor shall be."""
    plan = [Window(0, left, 8, 8) for left in (27, 26)]
    anchor_of = SyncParams(anchor_place=(0.5, 0.0)).anchor_of(plan, Size(8, 30), Wrap(x=True))
    assert anchor_of[plan[0]].left == 26

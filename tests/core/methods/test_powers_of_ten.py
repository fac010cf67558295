import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, canvas_size, crop
from joint_diffusion.core.methods.powers_of_ten import blend, fit_photograph, render_image, render_noise
from joint_diffusion.core.zoom.geometry import footprints, nesting
from joint_diffusion.core.zoom.pyramid import enlarge, split
from oracles import blend as blend_by_hand
from oracles import render as render_by_hand
from oracles import shrink, zoom_step
from torch.testing import assert_close

CASES = [(Size(16, 16), 2), (Size(12, 18), 2), (Size(17, 23), 3), (Size(9, 14), 4)]


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def finest_band(levels, zoom_factor):
    return split(levels, zoom_factor, nesting(canvas_size(levels), zoom_factor).inner).band


def common_regions(levels, zoom_factor):
    outer, inner = nesting(canvas_size(levels), zoom_factor)
    return crop(levels[:-1], outer), downsample(crop(levels[1:], inner), zoom_factor)


# Rendering


@pytest.mark.parametrize(("size", "zoom_factor", "count"), [((16, 32), 2, 4), ((27, 9), 3, 3), ((32, 32), 4, 3)])
@pytest.mark.parametrize("noise", [False, True])
def test_rendering_equals_algorithm_1_mask_by_mask(size, zoom_factor, count, noise):
    layers = randn(count, 2, *size)
    rendered = render_noise(layers, zoom_factor) if noise else render_image(layers, zoom_factor)
    for level in range(count):
        assert_close(rendered[level], render_by_hand(layers, level, zoom_factor, noise), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "zoom_factor", "count"), [(*case, 3) for case in CASES] + [(Size(16, 16), 2, 16)])
def test_rendered_levels_agree_on_their_common_regions(size, zoom_factor, count):
    layers = randn(count, 3, *size)
    assert_close(*common_regions(render_image(layers, zoom_factor), zoom_factor), rtol=0, atol=1e-13)
    centres, shrunk = common_regions(render_noise(layers, zoom_factor), zoom_factor)
    assert_close(centres, zoom_factor * shrunk, rtol=0, atol=1e-12)
    assert_close(
        render_image(render_image(layers, zoom_factor), zoom_factor),
        render_image(layers, zoom_factor),
        rtol=0,
        atol=1e-13,
    )


@pytest.mark.parametrize(("size", "zoom_factor"), CASES)
def test_rendering_leaves_the_innermost_level_and_the_surroundings(size, zoom_factor):
    layers = randn(3, 3, *size)
    rendered, outer = render_image(layers, zoom_factor), nesting(size, zoom_factor).outer
    assert torch.equal(rendered[-1], layers[-1])
    surroundings = torch.ones(size, dtype=torch.bool)
    crop(surroundings, outer).fill_(False)
    assert torch.equal(rendered[..., surroundings], layers[..., surroundings])


@pytest.mark.parametrize(("size", "zoom_factor"), [(Size(6, 8), 2), (Size(7, 7), 3), (Size(4, 5), 4), (Size(5, 6), 2)])
def test_noise_has_exactly_the_right_covariance(size, zoom_factor):
    """Analytically: rendering is linear, so its matrix R is what it does to a basis, and the covariance is R R^T."""
    count, cells = 3, size.height * size.width
    basis = torch.eye(count * cells, dtype=torch.float64).reshape(-1, count, *size).movedim(0, 1)
    matrix = render_noise(basis, zoom_factor).movedim(1, 0).flatten(1).T
    covariance = (matrix @ matrix.T).reshape(count, cells, count, cells)
    for level in range(count):
        assert_close(covariance[level, :, level], torch.eye(cells, dtype=torch.float64), rtol=0, atol=1e-12)
    outer, inner = nesting(size, zoom_factor)
    expected = torch.zeros(*size, *size, dtype=torch.float64)
    for y in range(inner.height):
        for x in range(inner.width):
            expected[outer.top + y // zoom_factor, outer.left + x // zoom_factor, inner.top + y, inner.left + x] = (
                1 / zoom_factor
            )
    for level in range(count - 1):
        between = covariance[level, :, level + 1].reshape(*size, *size)
        assert_close(between, expected, rtol=0, atol=1e-12)


def test_noise_has_unit_variance_everywhere_over_many_draws():
    draws = 20000
    noise = torch.randn(3, draws, 6, 8, generator=torch.Generator().manual_seed(1))
    variance = render_noise(noise, 2).var(1)
    assert_close(variance, torch.ones_like(variance), rtol=0, atol=6 * (2 / draws) ** 0.5)


def test_pixels_can_nest_in_units():
    layers = randn(2, 1, 56, 56)
    outer, inner = nesting(Size(56, 56), 2, pixels_per_cell=8)
    rendered = render_image(layers, 2, pixels_per_cell=8)
    assert_close(crop(rendered[0], outer), downsample(crop(layers[1], inner), 2))
    assert not torch.allclose(rendered, render_image(layers, 2))


@pytest.mark.parametrize(("size", "zoom_factor"), CASES)
def test_a_decoded_level_keeps_its_own_finest_band(size, zoom_factor):
    """In all other bands, the centre is the downsampled level inside it, as Algorithm 1 says."""
    layers, ways = randn(3, 2, *size), footprints(size, zoom_factor)
    rendered = render_image(layers, zoom_factor, decoded=True)
    own, given = (crop(levels[:-1], ways[0].outer) for levels in (layers, rendered))
    _, inside = common_regions(rendered, zoom_factor)
    if len(ways) == 1:  # the centre has no coarser cells
        assert_close(rendered, render_image(layers, zoom_factor))
        return
    own, given, inside = (split(image, zoom_factor, ways[1].inner) for image in (own, given, inside))
    assert_close(given.band, own.band, rtol=0, atol=1e-12)
    assert_close(given.coarse, inside.coarse, rtol=0, atol=1e-12)
    assert_close(render_image(rendered, zoom_factor, decoded=True), rendered, rtol=0, atol=1e-12)
    surroundings = torch.ones(size, dtype=torch.bool)
    crop(surroundings, ways[0].outer).fill_(False)
    assert torch.equal(rendered[..., surroundings], layers[..., surroundings])


def test_a_soft_picture_does_not_get_a_sharp_rectangle():
    """Levels that are all equally soft; by Algorithm 1 the centre has details that its surroundings do not have."""
    layers = torch.nn.functional.avg_pool2d(randn(2, 1, 66, 66), 3, 1)
    outer = nesting(Size(64, 64), 2).outer

    def contrast(levels):
        return split(crop(levels[:1], outer), 2, Window(0, 0, 32, 32)).band.square().mean()

    soft = contrast(layers)
    assert contrast(render_image(layers, 2)) > 1.5 * soft
    assert_close(contrast(render_image(layers, 2, decoded=True)), soft)


# Blending


@pytest.mark.parametrize(
    ("size", "zoom_factor", "count", "feather", "decoded"),
    [
        (Size(16, 16), 2, 5, 0.125, False),
        (Size(16, 16), 2, 5, 0.0, True),
        (Size(16, 16), 2, 2, 0.5, False),
        (Size(12, 18), 2, 5, 0.5, True),
        (Size(12, 18), 2, 2, 0.0, False),
        (Size(17, 23), 3, 5, 0.0, False),
        (Size(17, 23), 3, 2, 0.125, True),
        (Size(9, 14), 4, 5, 0.125, True),
        (Size(9, 14), 4, 2, 0.5, False),
    ],
)
def test_blending_equals_pyramids_of_enlarged_observations(size, zoom_factor, count, feather, decoded):
    observed, ways = randn(count, 2, *size), footprints(size, zoom_factor)
    layers = blend(observed, zoom_factor, feather=feather, decoded=decoded)
    for level in range(count):
        assert_close(
            layers[level], blend_by_hand(observed, level, zoom_factor, ways, feather, decoded), rtol=0, atol=1e-11
        )


@pytest.mark.parametrize(("size", "zoom_factor", "count"), [(*case, 3) for case in CASES] + [(Size(16, 16), 2, 16)])
def test_blending_equal_observations_returns_them(size, zoom_factor, count):
    observed = render_image(randn(count, 3, *size), zoom_factor)
    assert_close(blend(observed, zoom_factor), observed, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "zoom_factor"), CASES)
def test_convention_a_layer_listens_to_the_levels_outside_it_and_to_no_other(size, zoom_factor):
    """The caption of Figure 5 (j <= i); by the text of section 4.2 (j >= i) both would be the other way round."""
    observed = randn(4, 1, *size)
    before = blend(observed, zoom_factor)
    for changed in range(4):
        other = observed.clone()
        other[changed] += randn(1, *size, seed=1)
        moved = (blend(other, zoom_factor) - before).abs().amax((1, 2, 3)) > 1e-9
        speaks = [changed <= level <= changed + len(footprints(size, zoom_factor)) for level in range(4)]
        assert moved.tolist() == speaks


@pytest.mark.parametrize(("size", "zoom_factor"), CASES)
def test_a_band_is_not_touched_by_observations_that_have_nothing_to_say_in_it(size, zoom_factor):
    """The finest band of layer i is that of level i; the second one is the mean of levels i and i - 1."""
    observed = randn(3, 1, *size)
    assert_close(
        finest_band(blend(observed, zoom_factor), zoom_factor), finest_band(observed, zoom_factor), rtol=0, atol=1e-12
    )
    layers = blend(observed, zoom_factor, feather=0)
    first, *further = footprints(size, zoom_factor)
    if not further:
        return
    second = further[0].inner

    def band(image):
        return split(image, zoom_factor, second).band

    own = downsample(crop(observed[2], first.inner), zoom_factor)
    expected = (band(own) + band(crop(observed[1], first.outer))) / 2
    merged = downsample(crop(layers[2], first.inner), zoom_factor)
    assert_close(band(merged), expected, rtol=0, atol=1e-12)


def test_an_observation_is_heard_only_where_it_is():
    """What level 0 shows outside of level 1 does not reach layer 1."""
    observed = randn(2, 1, 16, 16)
    other = observed.clone()
    inside = torch.zeros(16, 16, dtype=torch.bool)
    crop(inside, nesting(Size(16, 16), 2).outer).fill_(True)
    other[0][..., ~inside] += 1
    assert torch.equal(blend(other, 2)[1], blend(observed, 2)[1])


def test_feathering_leaves_no_frame_around_the_next_level():
    """Two levels of different grey: on the rendered outer one, the step at the frame is half of that without."""
    observed, zoom_factor = torch.zeros(2, 1, 64, 64), 2
    observed[1] = 1
    outer = nesting(Size(64, 64), zoom_factor).outer

    def step(feather):
        row = render_image(blend(observed, zoom_factor, feather=feather), zoom_factor)[0, 0, 32]
        assert row[32] == 0.5  # in the middle both are heard alike
        return (row[outer.left] - row[outer.left - 1]).item()

    assert step(0.0) == 0.5
    assert step(0.125) < 0.05


def test_a_feather_beyond_the_middle_is_refused():
    with pytest.raises(ValueError, match=r"feather: must be in 0\.\.0\.5 sides of a level, got 0\.6; 0 is the paper's"):
        blend(torch.zeros(2, 1, 8, 8), 2, feather=0.6)


def test_what_a_decoder_blurs_does_not_blur_the_level_inside():
    """One scene at three zooms, each level without its finest band: a plain mean halves what the next one has of it."""
    zoom_factor = 2
    scene = render_image(randn(3, 1, 64, 64), zoom_factor)
    observed = scene - finest_band(scene, zoom_factor)
    second = [
        finest_band(downsample(layers, zoom_factor), zoom_factor)[1:, ..., 8:-8, 8:-8]
        for layers in (scene, blend(observed, zoom_factor))
    ]
    assert second[1].std() < 0.6 * second[0].std()
    decoded = finest_band(downsample(blend(observed, zoom_factor, decoded=True), zoom_factor), zoom_factor)[
        1:, ..., 8:-8, 8:-8
    ]
    assert_close(decoded, second[0], rtol=0, atol=0.01)


def test_averaging_without_bands_would_blur():
    """The finest band of a plain mean of N observations keeps 1 / N of its contrast; blending keeps all of it."""
    observed, zoom_factor = randn(4, 1, 16, 16), 2
    kept = (
        finest_band(blend(observed, zoom_factor), zoom_factor)[-1].std() / finest_band(observed, zoom_factor)[-1].std()
    )
    enlarged = []
    for outside, image in enumerate(reversed(observed)):
        steps = footprints(Size(16, 16), zoom_factor)[:outside]
        image = crop(image, steps[-1].outer) if steps else image
        for step in reversed(steps):
            image = enlarge(image, zoom_factor, step.inner, Size(step.inner.height, step.inner.width))
        enlarged.append(image)
    naive = torch.stack(enlarged).mean(0)
    assert kept > 1 - 1e-12
    assert (
        abs(finest_band(naive[None], zoom_factor).std() / finest_band(observed, zoom_factor)[-1].std() - 1 / 4) < 1e-12
    )


@pytest.mark.parametrize("operation", [render_image, render_noise, blend])
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [(torch.float32, (3, 2, 2, 12, 14)), (torch.bfloat16, (3, 2, 12, 14)), (torch.float16, (3, 2, 2, 12, 14))],
    ids=str,
)
def test_dtypes_frames_and_inference_mode(operation, shape, dtype):
    levels = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    exact = operation(levels.to(dtype).double(), 2)
    kept = levels.to(dtype)
    with torch.inference_mode():
        result = operation(kept.clone(), 2)
    assert result.dtype == dtype
    assert result.shape == shape
    assert_close(result.double(), exact, rtol=torch.finfo(dtype).eps, atol=2e-6)
    assert torch.equal(levels.to(dtype), kept)


@pytest.mark.parametrize("operation", [render_image, render_noise, blend])
def test_what_is_no_stack_is_refused(operation):
    with pytest.raises(ValueError, match=r"levels: a zoom stack has at least 2 levels, got 1"):
        operation(torch.zeros(1, 3, 8, 8), 2)
    with pytest.raises(ValueError, match=r"zoom_factor: must be at least 2, got 1"):
        operation(torch.zeros(2, 3, 8, 8), 1)
    with pytest.raises(ValueError, match=r"width: a level must be at least zoom_factor = 9"):
        operation(torch.zeros(2, 3, 9, 8), 9)


# A step


def test_a_step_is_one_turn_of_algorithm_2():
    """What a DDPM step does with the joined prediction and the rendered noise, on a model for each level."""
    zoom_factor, sigma, after, size = 2, 1.7, 0.9, (16, 32)
    z, drawn = randn(3, 2, *size), randn(3, 2, *size, seed=1)
    denoisers = [lambda x, s, level=level: torch.tanh(x) / (1 + s) + 0.1 * level for level in range(3)]
    denoised = torch.stack([denoise(x, sigma) for denoise, x in zip(denoisers, z, strict=True)])
    joined = render_image(blend(denoised, zoom_factor), zoom_factor)
    new = after * (1 - (after / sigma) ** 2) ** 0.5
    stepped = joined + (after**2 - new**2) ** 0.5 / sigma * (z - joined) + new * render_noise(drawn, zoom_factor)
    by_hand = zoom_step(z, sigma, after, denoisers, zoom_factor, footprints(Size(*size), zoom_factor), drawn)
    assert_close(stepped, torch.stack(by_hand), rtol=0, atol=1e-11)


# A photograph


def seen_from_level_0(levels, zoom_factor):
    """D_i of every level, with its place on level 0."""
    for level, image in enumerate(levels):
        top, left, height, width = 0, 0, *image.shape[-2:]
        for _ in range(level):
            image = shrink(image, zoom_factor)
        height, width = image.shape[-2:]
        top, left = (levels.shape[-2] - height) // 2, (levels.shape[-1] - width) // 2
        yield image, (slice(None), slice(top, top + height), slice(left, left + width))


@pytest.mark.parametrize("steps", [1, 5])
def test_fitting_equals_torchs_adam_on_equation_1(steps):
    levels, photograph, zoom_factor = randn(3, 2, 16, 16), randn(2, 16, 16, seed=1), 2
    leaf = levels.clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.1)
    for _ in range(steps):
        adam.zero_grad()
        sum(
            (image - photograph[place]).square().sum() for image, place in seen_from_level_0(leaf, zoom_factor)
        ).backward()
        adam.step()
    fitted = fit_photograph(levels, photograph, zoom_factor, steps)
    for (image, _), (wanted, _) in zip(
        seen_from_level_0(fitted, zoom_factor), seen_from_level_0(leaf.detach(), zoom_factor), strict=True
    ):
        assert_close(image, wanted, rtol=0, atol=1e-9)
    # Nothing is drawn within the cells of the photograph.
    assert_close(finest_band(fitted[1:], zoom_factor), finest_band(levels[1:], zoom_factor), rtol=0, atol=1e-9)


def test_what_was_fitted_is_what_the_stack_shows():
    """More steps at a falling rate reach the photograph; blending and rendering keep it."""
    levels, photograph = randn(4, 1, 16, 16), randn(1, 16, 16, seed=1)
    for rate in (0.3, 0.1, 0.03, 0.01, 0.003):
        levels = fit_photograph(levels, photograph, 2, steps=40, lr=rate)
    shown = render_image(blend(levels, 2), 2)[0]
    assert (shown - photograph).abs().max() < 1e-2


def test_levels_below_one_cell_of_the_photograph_and_zero_steps_change_nothing():
    levels, photograph = randn(6, 1, 16, 16), randn(1, 16, 16, seed=1)
    assert torch.equal(fit_photograph(levels, photograph, 2, steps=0), levels)
    changed = (fit_photograph(levels, photograph, 2) - levels).abs().amax((1, 2, 3)) > 0
    assert changed.tolist() == [True] * 4 + [False] * 2


def test_fitting_runs_in_inference_mode_and_keeps_half_precision():
    with torch.inference_mode():
        fitted = fit_photograph(torch.zeros(2, 1, 8, 8).half(), torch.ones(1, 8, 8).half(), 2)
    assert fitted.dtype == torch.float16
    assert_close(fitted, torch.full_like(fitted, 0.5), rtol=0, atol=1e-2)  # 5 steps of 0.1


def test_wrong_photographs_are_refused():
    levels = torch.zeros(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"photograph: must have the shape of a level, \(3, 8, 8\), got \(3, 8, 9\)"):
        fit_photograph(levels, torch.zeros(3, 8, 9), 2)
    with pytest.raises(ValueError, match=r"steps: must be 0 or more, got -1"):
        fit_photograph(levels, torch.zeros(3, 8, 8), 2, steps=-1)

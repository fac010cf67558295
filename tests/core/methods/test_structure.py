"""A canvas that follows a picture: against the projection as matrices, and what must hold of any model."""

from dataclasses import replace

import pytest
import torch
from analytic import convolution, gaussian
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.correction import RollOff
from joint_diffusion.core.joint_params import JointParams, check_canvas
from joint_diffusion.core.joint_step import Aids, denoise_step
from joint_diffusion.core.measure.cost import views_per_step
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import ROLL_OFF, MultiScaleParams
from joint_diffusion.core.methods.scale_map import ScaleMap
from joint_diffusion.core.methods.structure import StructureParams, restored, scales_for
from joint_diffusion.core.step import Step
from kornia.filters import box_blur
from oracles import project
from torch import nn

WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4))
ALWAYS = RollOff(full=2e-9, none=1e-9)
STEP = Step(sigma=1.5)
MAP = ScaleMap(torch.tensor([[0.8, 0.1, 0.0], [0.1, 0.9, 0.2], [0.0, 0.2, 0.7]]).double(), torch.ones(3).double())


def randn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(x, picture, scale_map=None, model=None, windows=WINDOWS, **structure):
    params = JointParams(windows=windows, structure=StructureParams(**{"roll_off": ALWAYS, **structure}))
    return denoise_step(x, STEP, model or convolution(), params, Aids(picture=picture, scale_map=scale_map))


def plain(x):
    return denoise_step(x, STEP, convolution(), JointParams(windows=WINDOWS))


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("scale_map", [None, MAP])
def test_the_picture_at_half_its_size_is_the_target_of_the_projection(strength, scale_map):
    """It was encoded at the size of the canvas, so no map is needed."""
    x, picture = randn(1, 3, 12, 16), randn(1, 3, 12, 16, seed=2)
    expected = project(plain(x)[0], downsample(picture, 2)[0], strength)
    torch.testing.assert_close(step(x, picture, scale_map, strength=strength)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale_map", [None, MAP])
def test_a_smaller_picture_leads_the_scales_in_between(scale_map):
    """Written out: the half canvas at its own noise level follows the picture, the canvas follows the half canvas."""
    x, picture = randn(1, 3, 16, 24), randn(1, 3, 8, 12, seed=2)
    half = denoise_step(downsample(x, 2), Step(sigma=STEP.sigma / 2), convolution(), JointParams(windows=WINDOWS))
    half = project(half[0], downsample(picture, 2)[0], 1.0)
    strength = ROLL_OFF.at(STEP.noise)  # of Multi-Scale Diffusion: the half canvas is painted, too
    assert 0 < strength < 1
    expected = project(plain(x)[0], scale_map(half[None])[0] if scale_map else half, strength)
    torch.testing.assert_close(step(x, picture, scale_map, scales=3)[0], expected, rtol=0, atol=1e-12)


def test_a_flat_picture_is_kept_whatever_the_model_says():
    x = randn(1, 3, 16, 16)
    found = step(x, torch.full((1, 3, 16, 16), 0.25).double(), model=gaussian(mean=5.0, deviation=1e-9))
    torch.testing.assert_close(found, torch.full_like(found, 0.25))


def test_every_picture_of_a_batch_is_followed_by_its_own_canvas():
    x, pictures = randn(2, 3, 12, 16), randn(2, 3, 12, 16, seed=2)
    both = step(x, pictures)
    for row in range(2):
        torch.testing.assert_close(both[row], step(x[row : row + 1], pictures[row : row + 1])[0])


def test_it_ends_with_the_noise_and_changes_nothing_at_strength_0():
    x, picture = randn(1, 3, 12, 16), randn(1, 3, 12, 16, seed=2)
    assert torch.equal(step(x, picture, strength=0.0), plain(x))
    assert torch.equal(step(x, picture, roll_off=RollOff(full=3.0, none=2.0)), plain(x))
    assert not torch.equal(step(x, picture, roll_off=RollOff(full=3.0, none=1.0)), plain(x))


def test_a_canvas_in_between_is_not_painted_where_it_would_lead_nothing():
    """At little noise it knows the textures no better, and its views would be lost."""
    high, low = Step(sigma=1.5), Step(sigma=0.3)
    assert [StructureParams(scales=scales).scales_at(high) for scales in (2, 3, 4)] == [1, 2, 3]
    assert [StructureParams(scales=scales).scales_at(low) for scales in (2, 3, 4)] == [1, 0, 0]
    assert StructureParams(scales=3, strength=0.0).scales_at(high) == 0


@pytest.mark.parametrize(("scales", "views"), [(2, 15), (3, 15 + 2)])
def test_the_model_is_not_asked_about_the_picture(scales, views):
    canvas, seen = Size(16, 24), []
    params = JointParams(windows=WINDOWS, structure=StructureParams(scales=scales))
    picture = randn(1, 3, *params.structure.picture_size(canvas))
    step(randn(1, 3, *canvas), picture, model=lambda x, *_: seen.append(len(x)) or 0 * x, scales=scales)
    assert sum(seen) == views == views_per_step(canvas, params, STEP)


@pytest.mark.parametrize(("enlargement", "scales"), [(1, 2), (1.5, 2), (2, 2), (2.01, 3), (4, 3), (5, 4), (8, 4)])
def test_no_picture_is_enlarged_before_it_is_followed(enlargement, scales):
    assert scales_for(enlargement) == scales


def soft(height, width, seed=3, wrap=False):
    """(1, 3, height, width) blobs in 0.2..0.8; if they wrap, the right edge goes on at the left one."""
    blobs = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.6 + 0.2
    if not wrap:
        return nn.functional.interpolate(blobs, (height, width), mode="bilinear")
    three = nn.functional.interpolate(nn.functional.pad(blobs, (4, 4, 0, 0), mode="circular"), (height, 3 * width))
    return box_blur(three, 9)[..., width : 2 * width]


@pytest.mark.parametrize(("small", "large"), [((32, 40), (64, 80)), ((30, 20), (120, 80)), ((34, 42), (85, 105))])
def test_the_kept_image_made_small_again_is_the_picture(small, large):
    picture, image = soft(*small), soft(*large, seed=4)
    found = restored(image, picture)
    again = nn.functional.interpolate(found, small, mode="area")
    assert (again - picture).abs().mean() < 0.01 * (
        nn.functional.interpolate(image, small, mode="area") - picture
    ).abs().mean()


def test_details_stay_where_the_image_agrees_with_the_picture():
    """And go where it does not: they are those of another place."""
    picture = soft(32, 32)
    smooth = nn.functional.interpolate(picture, (64, 64), mode="bicubic")
    details = 0.05 * (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64)).double()
    torch.testing.assert_close(restored(smooth + details, picture), smooth + details, rtol=0, atol=0.01)
    elsewhere = restored(smooth + details + torch.where(torch.arange(64) < 32, 0.4, 0.0), picture) - smooth
    assert elsewhere[..., 8:24].std() < 0.1 * elsewhere[..., 40:56].std()


def test_a_part_of_it_is_kept_at_a_lower_strength():
    picture, image = soft(32, 32), soft(64, 64, seed=4)
    half = restored(image, picture, 0.5)
    torch.testing.assert_close(half, (image + restored(image, picture)) / 2)
    assert torch.equal(restored(image, picture, 0.0), image)


@pytest.mark.parametrize("size", [(64, 96), (80, 120)])
def test_a_picture_that_wraps_is_kept_wherever_it_is_cut_open(size):
    picture, image = soft(32, 48, wrap=True), soft(*size, seed=4, wrap=True)
    wrap, moved = Wrap(y=False, x=True), size[1] // 2
    expected = restored(image, picture, wrap=wrap).roll(moved, -1)
    turned = image.roll(moved, -1), picture.roll(24, -1)
    torch.testing.assert_close(restored(*turned, wrap=wrap), expected)
    assert not torch.allclose(restored(*turned), expected, atol=1e-3)


def test_at_its_own_size_what_is_smaller_than_two_pixels_is_the_image_s():
    picture = soft(64, 64)
    details = 0.05 * (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64)).double()
    torch.testing.assert_close(restored(picture + details, picture), picture + details, rtol=0, atol=0.01)
    torch.testing.assert_close(restored(picture, picture + details), picture, rtol=0, atol=0.01)


def test_bad_input():
    with pytest.raises(ValueError, match=r"enlargement: must be in 1\.\.8, got 9"):
        scales_for(9)
    with pytest.raises(ValueError, match=r"scales: must be in 2\.\.4, got 1"):
        StructureParams(scales=1)
    with pytest.raises(ValueError, match=r"strength: must be in 0\.\.1, got 2"):
        StructureParams(strength=2)
    with pytest.raises(
        ValueError, match=r"structure: with 2 scales the picture must be 16 x 12 latent cells, got 5 x 5"
    ):
        step(randn(1, 3, 12, 16), randn(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"the picture must be 16 x 12 latent cells, got none"):
        step(randn(1, 3, 12, 16), None)
    both = JointParams(windows=WINDOWS, structure=StructureParams(), multiscale=MultiScaleParams(scales=2))
    with pytest.raises(ValueError, match=r"structure: the picture decides the layout already.*turn one of the two off"):
        check_canvas(Size(16, 24), both)


def test_a_picture_at_strength_0_leaves_the_layout_to_multi_scale_diffusion():
    x, alone = randn(1, 3, 16, 24), JointParams(windows=WINDOWS, multiscale=MultiScaleParams(scales=2))
    off = replace(alone, structure=StructureParams(strength=0.0))
    check_canvas(Size(16, 24), off)
    expected = denoise_step(x, STEP, convolution(), alone)
    assert torch.equal(denoise_step(x, STEP, convolution(), off), expected)
    assert not torch.equal(expected, plain(x))


@pytest.mark.parametrize("scales", [3, 4])
def test_edges_meet_on_the_canvases_in_between_only_if_a_window_fits(scales):
    """The smallest that is painted has 7 cells, or 8 once the size is rounded up, and a window 8."""
    windows = WindowParams(window=Size(8, 8), stride=Size(4, 4), wrap=Wrap(x=True))
    params = JointParams(windows=windows, structure=StructureParams(scales=scales, roll_off=ALWAYS))
    smallest = 2 ** (scales - 2)

    def painted(canvas):
        picture = randn(1, 3, *params.structure.picture_size(canvas))
        return denoise_step(randn(1, 3, *canvas), STEP, convolution(), params, Aids(picture=picture))

    too_small, enough = Size(8, 7 * smallest), Size(8, 7 * smallest + 1)
    with pytest.raises(ValueError, match=r"structure: an enlargement by more than 2 .* comes down to 7 .* at least 8"):
        check_canvas(too_small, params)
    with pytest.raises(ValueError, match="a wrapping canvas must be at least as large as the window"):
        painted(too_small)
    check_canvas(enough, params)
    assert painted(enough).isfinite().all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("scales", "least"), [(2, 2), (3, 3), (4, 5)])
def test_a_canvas_too_small_to_be_halved_is_refused_and_no_other_one(scales, least, turned):
    params = JointParams(windows=WINDOWS, structure=StructureParams(scales=scales, roll_off=ALWAYS))

    def painted(canvas):
        picture = randn(1, 3, *params.structure.picture_size(canvas))
        return denoise_step(randn(1, 3, *canvas), STEP, convolution(), params, Aids(picture=picture))

    axis = "width" if turned else "height"
    message = rf"structure: .* 1/{2 ** (scales - 1)} of its size, so its {axis} .* at least {least} .* got "
    for side in range(1, 8):
        canvas = Size(16, side) if turned else Size(side, 16)
        if side >= least:
            check_canvas(canvas, params)
            assert painted(canvas).isfinite().all()
            continue
        with pytest.raises(ValueError, match=rf"{message}{side}; choose .* larger {axis}.*, or set structure to 0"):
            check_canvas(canvas, params)
        with pytest.raises(ValueError, match=r"downsample: sides must be at least 2 cells"):
            painted(canvas)


def test_the_larger_a_pixel_of_the_picture_the_more_may_be_painted_in_it():
    """A difference that takes the details away at twice the size leaves them at four times the size."""
    details = 0.05 * (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64)).double()

    def kept(side):
        picture = torch.full((1, 3, side, side), 0.5).double()
        return ((restored(0.65 + details.expand(1, 3, 64, 64), picture) - 0.5) / details).mean().item()

    assert kept(32) < 0.1
    assert kept(16) > 0.7

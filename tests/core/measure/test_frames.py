"""Frames in a zoom are found by the contrast on both sides of the border of the next level."""

import pytest
import torch
from joint_diffusion.core.measure.frames import texture_ratios, texture_ratios_between
from joint_diffusion.core.methods.powers_of_ten import render_image
from joint_diffusion.core.zoom.geometry import levels_nesting
from torch.testing import assert_close


def texture(levels=2, side=128, seed=0):
    return torch.rand(levels, 3, side, side, generator=torch.Generator().manual_seed(seed))


def with_contrast(images, zoom_factor, factor):
    """Inside of the next level's border the texture has another contrast."""
    top, left, height, width = levels_nesting(images, zoom_factor).outer
    changed = images.clone()
    block = changed[..., top : top + height, left : left + width]
    block.sub_(0.5).mul_(factor).add_(0.5)
    return changed


@pytest.mark.parametrize("zoom_factor", [2, 4])
@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 2.0])
def test_the_ratio_is_the_factor_of_the_contrast_either_way(zoom_factor, factor):
    ratios = texture_ratios(with_contrast(texture(), zoom_factor, factor), zoom_factor)
    # Near the border the blurs see both sides: of a factor 4 about 3.2 are left.
    assert_close(ratios, torch.tensor([max(factor, 1 / factor)]), rtol=0.25, atol=0)


def test_other_frequencies_of_the_same_contrast_are_a_frame():
    """Every level white noise: shown in the level outside, half of the frequencies are gone."""
    rendered = render_image(2 * texture(levels=4), 2) / 2
    assert texture_ratios(rendered, 2)[:-1].min() > 1.5
    assert texture_ratios(texture(levels=4), 2).max() < 1.1


def test_each_level_has_its_own_number():
    images = texture(levels=3)
    framed = torch.cat([images[:1], with_contrast(images, 2, 0.2)[1:]])
    first, second = texture_ratios(framed, 2).tolist()
    assert first < 1.1
    assert second > 3


def test_a_flat_picture_has_no_frame():
    assert_close(texture_ratios(torch.full((3, 3, 64, 48), 0.7), 2), torch.ones(2))
    step = torch.full((2, 3, 64, 64), 0.2)
    step[..., 32:, :] = 0.9  # a horizon through the middle does not cross the borders above and below
    assert texture_ratios(step, 2).item() < 1.01


@pytest.mark.parametrize("dim", [-1, -2])
def test_nothing_depends_on_how_the_picture_lies(dim):
    images = with_contrast(texture(), 2, 0.5)
    assert_close(texture_ratios(images.flip(dim), 2), texture_ratios(images, 2))
    assert_close(texture_ratios(images.transpose(-1, -2), 2), texture_ratios(images, 2))


@pytest.mark.parametrize("zoom_factor", [2, 4])
def test_frames_of_a_video_are_looked_at_where_the_next_level_is(zoom_factor):
    """A level with texture in one without; halfway to the third level, nothing of the border between them is seen."""
    flat = torch.full((3, 3, 128, 128), 0.5)
    framed = torch.cat([flat[:1], texture(levels=2, side=128)])
    seen, beyond = texture_ratios_between(framed, [0.5, 1.5], zoom_factor).tolist()
    assert seen > 3 > 2 > beyond / texture_ratios_between(texture(levels=3), [1.5], zoom_factor).item()
    assert_close(texture_ratios_between(flat, [0.25, 1.5], zoom_factor), torch.ones(2))


def test_frames_in_which_nothing_is_left_beside_the_level_are_refused():
    with pytest.raises(ValueError, match=r"zooms: at 0\.95 the next level leaves no 8 pixels beside it"):
        texture_ratios_between(texture(), [0.95], 2)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels, got 1"):
        texture_ratios(texture(levels=1), 2)

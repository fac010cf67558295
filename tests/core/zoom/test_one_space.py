"""The levels of a zoom are joined in one space, whatever the map between two scales does to their channels."""

import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import crop
from joint_diffusion.core.methods.powers_of_ten import blend, render_image
from joint_diffusion.core.methods.scale_map import ScaleMap
from joint_diffusion.core.zoom.geometry import levels_nesting
from joint_diffusion.core.zoom.one_space import joined_in_one_space
from torch.testing import assert_close

CHANNELS = 3


@pytest.fixture
def scale_map():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(CHANNELS, CHANNELS, generator=generator) / 4
    return ScaleMap(0.6 * torch.eye(CHANNELS) + root @ root.T, torch.randn(CHANNELS, generator=generator))


def stack(count, seed=1):
    return torch.randn(count, CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed))


def joined(levels, zoom_factor, scale_map):
    def join(common):
        return render_image(blend(common, zoom_factor), zoom_factor)

    return joined_in_one_space(levels, zoom_factor, scale_map, join)


@pytest.mark.parametrize(("zoom_factor", "times"), [(2, 1), (4, 2)])
def test_the_mean_of_a_level_is_the_mapped_level_outside(scale_map, zoom_factor, times):
    levels = joined(stack(3), zoom_factor, scale_map)
    outer, inner = levels_nesting(levels, zoom_factor)
    shown = crop(levels[:-1], outer)
    for _ in range(times):
        shown = scale_map(shown)
    assert_close(downsample(crop(levels[1:], inner), zoom_factor), shown, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("zoom_factor", [2, 4])
def test_levels_that_agree_by_the_map_are_left_as_they_are(scale_map, zoom_factor):
    levels = joined(stack(3), zoom_factor, scale_map)
    assert_close(joined(levels, zoom_factor, scale_map), levels, rtol=1e-4, atol=1e-4)


def test_two_levels_equal_the_paper_with_a_mapped_observation(scale_map):
    """The literal way for two levels: blend with the mapped outer level, render with the inverse of the map."""
    levels = stack(2)
    outer, inner = levels_nesting(levels, 2)
    mapped = torch.stack([scale_map(levels[:1])[0], levels[1]])
    inside = blend(mapped, 2)[1]
    shown = downsample(crop(inside[None], inner), 2)
    inverse = torch.linalg.inv(scale_map.matrix)
    outside = levels[0].clone()
    crop(outside, outer).copy_(torch.einsum("ij,jhw->ihw", inverse, shown[0] - scale_map.offset[:, None, None]))
    assert_close(joined(levels, 2, scale_map), torch.stack([outside, inside]), rtol=1e-4, atol=1e-4)


def test_deep_stacks_of_a_map_that_shrinks_stay_exact():
    shrinking = ScaleMap(torch.diag(torch.tensor([1.0, 0.5, 0.2])), torch.zeros(CHANNELS))
    levels = joined(stack(16), 2, shrinking)
    assert_close(joined(levels, 2, shrinking), levels, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("zoom_factor", "given"), [(2, None), (3, ScaleMap(2 * torch.eye(3), torch.ones(3)))])
def test_without_a_map_for_the_factor_nothing_is_changed(zoom_factor, given):
    levels = stack(3)
    assert torch.equal(joined(levels, zoom_factor, given), render_image(blend(levels, zoom_factor), zoom_factor))


def test_the_dtype_stays(scale_map):
    assert joined(stack(2).half(), 2, scale_map).dtype == torch.float16

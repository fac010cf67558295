from itertools import pairwise

import numpy as np
import pytest
from joint_diffusion.demo.noise import FINEST_WAVE, fractal, octaves
from joint_diffusion.demo.palette import HOURS, LAYERS, SEASONS, palette
from joint_diffusion.demo.scatter import leaves, spots, stones
from joint_diffusion.demo.world import SKY, Scene, render

SCENE = Scene(seed=4)


@pytest.mark.parametrize("lake", [False, True])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_every_column_shows_the_layers_in_their_order(lake, zoom):
    layers = render(Scene(seed=3, lake=lake), int(128 * zoom), 160, zoom=zoom).layers.astype(int)
    assert (np.diff(layers, axis=0) >= 0).all()
    assert set(np.unique(layers)) == set(range(len(LAYERS))) - ({3} if not lake else set())


def test_equal_scenes_give_equal_pixels_and_other_seeds_do_not():
    first, again, other = (render(Scene(seed=s), 64, 64) for s in (5, 5, 6))
    assert (first.image == again.image).all()
    assert (first.layers == again.layers).all()
    assert (first.image != other.image).any()


def test_two_pictures_of_one_world_agree_where_they_overlap():
    scene, pixel = Scene(seed=4), 1 / 128
    left = render(scene, 128, 96, centre=(1.0, 0.5)).image
    right = render(scene, 128, 96, centre=(1.0 + 32 * pixel, 0.5)).image
    np.testing.assert_allclose(left[:, 32:], right[:, :-32], atol=2e-2)


def test_zooming_in_keeps_the_layout_and_adds_detail():
    scene = Scene(seed=8, lake=False)
    far, near = render(scene, 128, 128, zoom=1.0), render(scene, 256, 256, zoom=2.0)
    assert (near.layers[::2, ::2] == far.layers).mean() > 0.97
    shrunk = near.image.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(shrunk - far.image).mean() < 0.05
    enlarged = far.image.repeat(2, 0).repeat(2, 1)
    diagonal = lambda image: np.abs(image[1:, 1:] - image[:-1, :-1]).mean()  # noqa: E731
    assert diagonal(near.image[60:130]) > 0.5 * diagonal(enlarged[60:130])


def inside(layer):
    """World coordinates of the middle of the scene's largest square of a layer."""
    shown = render(SCENE, 128, 128, centre=(3.0, 0.5)).layers == LAYERS.index(layer)
    inner, last = shown, shown
    while inner.any():
        last, inner = inner, inner.copy()
        inner[1:-1, 1:-1] &= last[:-2, 1:-1] & last[2:, 1:-1] & last[1:-1, :-2] & last[1:-1, 2:]
        inner[[0, -1]] = inner[:, [0, -1]] = False
    row, column = np.argwhere(last)[0]
    return 3.0 + (column - 63.5) / 128, (row + 0.5) / 128


@pytest.mark.parametrize("layer", LAYERS)
def test_every_level_of_a_deep_zoom_shows_detail_and_agrees_with_the_one_before(layer):
    centre = inside(layer)
    levels = [render(SCENE, 128, 128, zoom=2.0**k, centre=centre).image for k in range(8)]
    for outer, inner in pairwise(levels):
        shrunk = inner.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(shrunk - outer[32:96, 32:96]).mean() < 0.11
    for level in levels[3:]:
        assert level.std((0, 1)).max() > (0.012 if layer == "sky" else 0.04)


@pytest.mark.parametrize("layer", LAYERS)
def test_detail_finer_than_a_pixel_is_not_drawn(layer):
    """Four times as many pixels, averaged, are the same picture: nothing in it was too fine for the pixels."""
    x, y = inside(layer)
    coarse = render(SCENE, 64, 64, zoom=16.0, centre=(x, y)).image
    left = render(SCENE, 64, 64, zoom=16.0, centre=(x + 0.25 / (128 * 16), y)).image
    assert np.abs(coarse - left).mean() < 0.6 * np.abs(coarse[:, 1:] - coarse[:, :-1]).mean() + 1e-3


def test_close_ups_far_to_the_right_are_as_sharp_as_at_the_start():
    """In single precision the columns of this picture would fall together in groups."""
    image = render(SCENE, 32, 64, zoom=128.0, centre=(4000.3, 0.6)).image
    assert (np.abs(np.diff(image, axis=1)).max((0, 2)) > 0).all()


def test_hidden_sheets_are_not_painted_and_shown_ones_are(monkeypatch):
    """The whole scene, painted with every sheet in all rows, has the same pixels."""
    from joint_diffusion.demo import world

    thrifty = render(SCENE, 96, 96, zoom=1.5, centre=(3.0, 0.6))
    monkeypatch.setattr(world, "_visible_rows", lambda c, sheets: [slice(0, 96)] * len(sheets))
    np.testing.assert_allclose(render(SCENE, 96, 96, zoom=1.5, centre=(3.0, 0.6)).image, thrifty.image, atol=1e-6)


def test_leaves_cover_a_part_of_the_plane_and_stay_within_their_rims():
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 9, 120), np.linspace(0, 9, 120)))
    leaf = leaves(x, y, (1.0, 0.3), 0.5, 0.01, seed=1)
    assert 0.5 < leaf.cover.mean() < 0.98
    assert leaf.cover.min() == 0
    assert leaf.cover.max() == 1
    assert leaf.along.min() >= 0
    assert leaf.along.max() <= 1
    assert np.abs(leaf.across).max() <= 1


def test_stones_are_a_mosaic_with_joints():
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 9, 120), np.linspace(0, 9, 120)))
    stone = stones(x, y, 1.0, seed=1)
    assert 40 < len(np.unique(stone.tone)) < 200  # about one for each of 81 cells
    assert stone.rim.min() >= 0
    assert (stone.rim < 0.1).mean() < 0.3


def test_spots_are_whole_and_as_many_as_asked_for():
    x, y = np.meshgrid((np.arange(400) + 0.5) / 20, (np.arange(400) + 0.5) / 20)
    on = spots(x, y, 1.0, seed=1, share=0.5).radius <= 1
    assert 0.4 < on.reshape(20, 20, 20, 20).any((1, 3)).mean() < 0.6
    borders, along = np.meshgrid(np.arange(20.0), np.linspace(0, 19, 600))
    for x, y in ((borders, along), (along, borders)):
        assert (spots(x, y, 1.0, seed=1, share=0.5).radius > 1).all()


def test_clouds_are_only_where_the_sky_is():
    truth = render(SCENE, 128, 256)
    assert truth.clouds.any()
    assert (truth.layers[truth.clouds] == SKY).all()
    assert not render(Scene(seed=4, clouds=False), 128, 256).clouds.any()


def test_noise_has_no_octave_finer_than_the_pixels_show():
    assert octaves(8.0, 1 / 128, most=9) == 1 + int(np.log2(128 / (8 * FINEST_WAVE)))
    x = np.linspace(0, 40, 4001, dtype=np.float32)
    values = fractal(x, 0.5, 1.0, 0.01, seed=1)
    assert abs(values.mean()) < 0.15
    assert np.abs(values).max() < 1.7


def test_every_palette_keeps_its_layers_apart():
    for season in SEASONS:
        for hour in HOURS:
            p = palette(season, hour)
            ground = np.stack([p.mountains, p.forest, p.lake, p.meadow])
            distance = np.linalg.norm(ground[:, None] - ground[None], axis=-1) + 9 * np.eye(4)
            assert distance.min() > 0.05, (season, hour)


def test_wrong_fields_are_refused_by_name():
    with pytest.raises(ValueError, match=r"season: must be one of spring, summer, autumn, winter, got 'monsoon'"):
        Scene(seed=0, season="monsoon")
    with pytest.raises(ValueError, match=r"zoom: must be positive, got 0"):
        render(Scene(seed=0), 8, 8, zoom=0)

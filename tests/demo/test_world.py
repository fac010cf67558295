import numpy as np
import pytest
from joint_diffusion.demo.noise import FINEST_WAVE, fractal, octaves
from joint_diffusion.demo.palette import HOURS, LAYERS, SEASONS, palette
from joint_diffusion.demo.world import Scene, render


@pytest.mark.parametrize("lake", [False, True])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_every_column_shows_the_layers_in_their_order(lake, zoom):
    layers = render(Scene(seed=3, lake=lake), int(128 * zoom), 160, zoom=zoom).layers.astype(int)
    assert (np.diff(layers, axis=0) >= 0).all()
    assert set(np.unique(layers)) == set(range(len(LAYERS))) - ({3} if not lake else set())


def test_equal_scenes_give_equal_pixels_and_other_seeds_do_not():
    first, again, other = (render(Scene(seed=s), 64, 64) for s in (5, 5, 6))
    assert (first.image == again.image).all() and (first.layers == again.layers).all()
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


def test_noise_has_no_octave_finer_than_the_pixels_show():
    assert octaves(8.0, 1 / 128, most=9) == 1 + int(np.log2(128 / (8 * FINEST_WAVE)))
    x = np.linspace(0, 40, 4001, dtype=np.float32)
    values = fractal(x, 0.5, 1.0, 0.01, seed=1)
    assert abs(values.mean()) < 0.15 and np.abs(values).max() < 1.7


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

import numpy as np
from joint_diffusion.demo.noise import FINEST_WAVE, fractal, octaves
from joint_diffusion.demo.palette import HOURS, SEASONS, palette
from joint_diffusion.demo.scatter import leaves, spots, stones
from joint_diffusion.demo.world import Scene, render

SCENE = Scene(seed=4)


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

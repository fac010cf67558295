"""What both worlds promise: the truth of a place is the same at every zoom, and there is detail at every zoom."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from both_worlds import LANDSCAPES, TOWN, WORLDS, named

SEED = 4
BOTH = pytest.mark.parametrize("world", WORLDS, ids=named)
LAYERS = pytest.mark.parametrize(
    ("world", "layer"), [(world, layer) for world in WORLDS for layer in world.layers], ids=named
)
SCENES = [
    (LANDSCAPES, {"lake": True}),
    (LANDSCAPES, {"lake": False}),
    *((TOWN, {"town": t}) for t in TOWN.palette["town"]),
]


@pytest.mark.parametrize(("world", "fields"), SCENES, ids=named)
@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_every_column_shows_the_layers_in_their_order(world, fields, zoom):
    layers = world.render(world.scene(seed=3, **fields), int(128 * zoom), 160, zoom=zoom).layers.astype(int)
    assert (np.diff(layers, axis=0) >= 0).all()
    hidden = {world.layers.index("lake")} if fields.get("lake") is False else set()
    assert set(np.unique(layers)) == set(range(len(world.layers))) - hidden


@BOTH
def test_equal_scenes_give_equal_pixels_and_other_seeds_do_not(world):
    first, again, other = (world.render(world.scene(seed=s), 64, 64) for s in (5, 5, 6))
    for plane, same in zip(first, again, strict=True):
        assert (plane == same).all()
    assert (first.image != other.image).any()


@BOTH
def test_two_pictures_of_one_world_agree_where_they_overlap(world):
    scene, pixel = world.scene(seed=SEED), 1 / 128
    left = world.render(scene, 128, 96, centre=(1.0, 0.5))
    right = world.render(scene, 128, 96, centre=(1.0 + 32 * pixel, 0.5))
    np.testing.assert_allclose(left.image[:, 32:], right.image[:, :-32], atol=2e-2)
    assert (left.layers[:, 32:] == right.layers[:, :-32]).mean() > 0.999


@BOTH
def test_zooming_in_keeps_the_layout_and_adds_detail(world):
    scene = world.scene(seed=8)
    far, near = world.render(scene, 128, 128, zoom=1.0), world.render(scene, 256, 256, zoom=2.0)
    assert (near.layers[::2, ::2] == far.layers).mean() > 0.97
    shrunk = near.image.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(shrunk - far.image).mean() < 0.05
    enlarged = far.image.repeat(2, 0).repeat(2, 1)
    diagonal = lambda image: np.abs(image[1:, 1:] - image[:-1, :-1]).mean()  # noqa: E731
    assert diagonal(near.image[60:130]) > 0.5 * diagonal(enlarged[60:130])


@cache
def inside(world, layer):
    """World coordinates of the middle of the scene's largest square of a layer."""
    shown = world.render(world.scene(seed=SEED), 128, 128, centre=(3.0, 0.5)).layers == world.layers.index(layer)
    inner, last = shown, shown
    while inner.any():
        last, inner = inner, inner.copy()
        inner[1:-1, 1:-1] &= last[:-2, 1:-1] & last[2:, 1:-1] & last[1:-1, :-2] & last[1:-1, 2:]
        inner[[0, -1]] = inner[:, [0, -1]] = False
    row, column = np.argwhere(last)[0]
    return 3.0 + (column - 63.5) / 128, (row + 0.5) / 128


@LAYERS
def test_every_level_of_a_deep_zoom_shows_detail_and_agrees_with_the_one_before(world, layer):
    scene, centre = world.scene(seed=SEED), inside(world, layer)
    levels = [world.render(scene, 128, 128, zoom=2.0**k, centre=centre).image for k in range(8)]
    for outer, inner in pairwise(levels):
        shrunk = inner.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(shrunk - outer[32:96, 32:96]).mean() < 0.11
    for level in levels[3:]:
        assert level.std((0, 1)).max() > (0.012 if layer == "sky" else 0.04)


@LAYERS
def test_detail_finer_than_a_pixel_is_not_drawn(world, layer):
    """Moved by a quarter of a pixel, it is nearly the same picture: nothing in it was too fine for the pixels."""
    scene, (x, y) = world.scene(seed=SEED), inside(world, layer)
    coarse = world.render(scene, 64, 64, zoom=16.0, centre=(x, y)).image
    left = world.render(scene, 64, 64, zoom=16.0, centre=(x + 0.25 / (128 * 16), y)).image
    assert np.abs(coarse - left).mean() < 0.6 * np.abs(coarse[:, 1:] - coarse[:, :-1]).mean() + 1e-3


@BOTH
def test_close_ups_far_to_the_right_are_as_sharp_as_at_the_start(world):
    """In single precision the columns of this picture would fall together in groups."""
    image = world.render(world.scene(seed=SEED), 32, 64, zoom=128.0, centre=(4000.3, 0.6)).image
    assert (np.abs(np.diff(image, axis=1)).max((0, 2)) > 0).all()


@BOTH
def test_clouds_are_only_where_the_sky_is(world):
    number, sky = 1 + world.things.index("clouds"), world.layers.index("sky")
    truth = world.render(world.scene(seed=SEED), 128, 256)
    assert (truth.things == number).any()
    assert (truth.layers[truth.things == number] == sky).all()
    assert not (world.render(world.scene(seed=SEED, clouds=False), 128, 256).things == number).any()


@BOTH
def test_prompts_allow_the_palettes_that_they_do_not_exclude(world):
    first, second = world.palette.values()
    assert len(world.palettes_of("")) == len(first) * len(second)
    assert world.palettes_of(f"a {first[1]} {second[2]}") == ((first[1], second[2]),)
    assert world.palettes_of(first[0]) == tuple((first[0], hour) for hour in second)


@BOTH
def test_what_a_world_is_made_of_has_words(world):
    named = {*world.layers, *world.things, *(word for known in world.palette.values() for word in known)}
    assert named <= set(world.vocabulary.ids)
    assert set(world.vocabulary.synonyms.values()) <= set(world.vocabulary.ids)
    assert not world.vocabulary.silent & set(world.vocabulary.ids)
    assert abs(sum(world.close_ups.values()) - 1) < 1e-9


@BOTH
def test_wrong_fields_are_refused_by_name(world):
    field, known = next(iter(world.palette.items()))
    with pytest.raises(ValueError, match=rf"{field}: must be one of {', '.join(known)}, got 'monsoon'"):
        world.scene(seed=0, **{field: "monsoon"})
    with pytest.raises(ValueError, match=r"hour: must be one of dawn, day, dusk, night, got 'noon'"):
        world.scene(seed=0, hour="noon")
    with pytest.raises(ValueError, match=r"lift: must lie in .* scene heights, got 0.5"):
        world.scene(seed=0, lift=0.5)
    with pytest.raises(ValueError, match=r"zoom: must be positive, got 0"):
        world.render(world.scene(seed=0), 8, 8, zoom=0)
    with pytest.raises(ValueError, match=r"height and width: must be at least 1 pixel, got 0 x 8"):
        world.render(world.scene(seed=0), 0, 8)

from itertools import pairwise

import numpy as np
import pytest
from both_worlds import TOWN, WORLDS, named
from joint_diffusion.demo.dataset import (
    BANDS,
    PIXELS_PER_CELL,
    SHARES,
    Picture,
    _place,
    caption,
    draw,
    pixels,
    random_window,
)
from joint_diffusion.demo.vocabulary import ZOOMS
from joint_diffusion.demo.world import WINDOW

BOTH = pytest.mark.parametrize("world", WORLDS, ids=named)
RNG = np.random.default_rng
WHOLE = (slice(0, 16), slice(0, 16))  # one window


@BOTH
def test_pictures_hold_at_least_a_window_of_whole_cells(world):
    for seed in range(6):
        picture = draw(seed, world=world)
        h, w = picture.image.shape[:2]
        assert h >= WINDOW
        assert w >= WINDOW
        assert h % PIXELS_PER_CELL == 0
        assert w % PIXELS_PER_CELL == 0
        assert picture.layers.shape == picture.things.shape == (h // PIXELS_PER_CELL, w // PIXELS_PER_CELL)


def test_a_random_window_is_anywhere_in_the_picture_and_its_pixels_are_those_of_its_cells():
    layers, rng = np.arange(18 * 20, dtype=np.int32).reshape(18, 20), RNG(0)
    image = np.kron(layers, np.ones((PIXELS_PER_CELL, PIXELS_PER_CELL), dtype=np.int32))[..., None].repeat(3, axis=2)
    picture, corners = Picture(image, layers, layers, None, "far"), set()
    for _ in range(300):
        window = random_window(picture, rng)
        shown = pixels(picture, window)
        assert shown.shape == (WINDOW, WINDOW, 3)
        assert (shown[::PIXELS_PER_CELL, ::PIXELS_PER_CELL, 0] == layers[window]).all()
        corners.add((window[0].start, window[1].start))
    assert corners == {(top, left) for top in range(3) for left in range(5)}


def test_whole_scenes_and_their_halves_are_most_of_the_training_set():
    assert tuple(SHARES) == ZOOMS
    assert abs(sum(SHARES.values()) - 1) < 1e-9
    assert SHARES["far"] + SHARES["wide"] > 0.5
    assert SHARES["far"] == max(SHARES.values())


def test_every_zoom_word_has_a_band_of_its_own_around_its_power_of_two():
    assert tuple(BANDS) == ZOOMS
    for k, (low, high) in enumerate(BANDS.values()):
        assert low <= 2**k <= high
    assert all(here[1] < after[0] for here, after in pairwise(BANDS.values()))


@BOTH
def test_close_ups_show_every_feature(world):
    scene, rng = world.scene(seed=1), RNG(0)
    places = [_place(scene, 5.0, rng, world) for _ in range(25)]
    seen = {world.render(scene, 1, 1, zoom=128.0, centre=place).layers.item() for place in places}
    assert seen == set(range(len(world.layers)))


@BOTH
def test_a_close_up_is_described_by_what_fills_it(world):
    picture, rng = draw(16, "macro", world), RNG(0)
    assert picture.zoom == "macro"
    assert np.ptp(picture.layers) == 0
    captions = [c for c in (caption(picture, WHOLE, rng, world) for _ in range(200)) if c]
    feature = world.layers[picture.layers[0, 0]]
    assert all(feature in c for c in captions)
    assert 0.8 < np.mean(["macro" in c for c in captions]) < 0.98


@BOTH
def test_captions_tell_the_truth_and_leave_words_out(world):
    picture, rng = draw(2, world=world), RNG(0)
    captions = [caption(picture, WHOLE, rng, world) for _ in range(300)]
    words = {word for c in captions for word in c}
    palette = {getattr(picture.scene, field) for field in world.palette}
    assert words <= set(world.vocabulary.ids)
    assert palette <= words
    assert not words & {word for known in world.palette.values() for word in known} - palette
    assert picture.zoom in words
    assert not words & set(ZOOMS) - {picture.zoom}
    assert [] in captions
    assert any(c and not palette & set(c) for c in captions)


def test_things_have_words_of_their_own():
    pictures = [draw(seed, zoom, TOWN) for zoom in ("near", "close") for seed in range(4)]
    rng = RNG(0)
    for number, thing in enumerate(TOWN.things, start=1):
        for picture in pictures:
            named = any(thing in caption(picture, WHOLE, rng, TOWN) for _ in range(60))
            assert named == ((picture.things[WHOLE] == number).mean() > 0.06), (thing, picture.scene)

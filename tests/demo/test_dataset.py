import numpy as np
from joint_diffusion.demo.dataset import CELL, SHARES, caption, draw
from joint_diffusion.demo.vocabulary import IDS, ZOOMS
from joint_diffusion.demo.world import WINDOW


def test_pictures_hold_at_least_a_window_of_whole_cells():
    for seed in range(6):
        picture = draw(seed)
        h, w = picture.image.shape[:2]
        assert h >= WINDOW and w >= WINDOW and h % CELL == 0 and w % CELL == 0
        assert picture.layers.shape == (h // CELL, w // CELL)


def test_whole_scenes_are_half_of_the_training_set():
    assert tuple(SHARES) == ZOOMS and SHARES["far"] == 0.5 and abs(sum(SHARES.values()) - 1) < 1e-9


def test_captions_tell_the_truth_and_leave_words_out():
    picture, rng = draw(1), np.random.default_rng(0)
    captions = [caption(picture, picture.layers[:16, :16], rng) for _ in range(300)]
    words = {word for c in captions for word in c}
    assert words <= set(IDS)
    assert picture.scene.season in words and picture.zoom in words
    assert not words & set(ZOOMS) - {picture.zoom}
    assert [] in captions and any(c and picture.scene.season not in c for c in captions)

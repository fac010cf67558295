import json

import av
import torch
from commands import python
from joint_diffusion.demo.metrics import ring_energy, sharpness
from PIL import Image

SMALL = ("--steps", "3", "--levels", "2", "--prompts", "autumn day far forest", "autumn day near forest")


def report(*arguments):
    done = python("-m", "demo", "zoom", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_levels_a_video_and_one_line_of_numbers(tmp_path):
    numbers = report("--steps", "3", "--prompts", "far forest", "wide forest", "--levels", "3", "--out", str(tmp_path))
    assert numbers["prompts"] == ["far forest", "wide forest", "wide forest"]
    assert len(numbers["zoom_inconsistency_per_level"]) == 2
    assert len(numbers["sharpness_per_level"]) == 3
    assert len(numbers["texture_ratio_per_level"]) == 2
    assert numbers["views"] == 9
    assert numbers["seconds"] > 0
    assert [Image.open(path).size for path in sorted(tmp_path.glob("level_*.png"))] == [(128, 128)] * 3
    with av.open(str(tmp_path / "zoom.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == (128, 128)
        assert sum(1 for _ in video.decode(stream)) == 2 * 2 * 45 + 1


def test_the_prompts_at_hand_are_a_stack_of_eight_levels_and_a_shorter_one_is_its_beginning(tmp_path):
    whole = report("--steps", "1", "--out", str(tmp_path))["prompts"]
    assert len(set(whole)) == 8
    assert report("--steps", "1", "--levels", "2", "--out", str(tmp_path))["prompts"] == whole[:2]


def test_joined_levels_agree_far_better_than_levels_painted_alone(tmp_path):
    alone = report(*SMALL, "--blending", "none", "--independent-noise", "--out", str(tmp_path / "alone"))
    joined = report(*SMALL, "--sampler", "euler", "--blending", "pixel", "--out", str(tmp_path / "joined"))
    assert joined["zoom_inconsistency"] < alone["zoom_inconsistency"] / 4


def test_levels_larger_than_the_native_window_and_other_factors(tmp_path):
    numbers = report(*SMALL, "--zoom-factor", "3", "--height", "192", "--width", "192", "--out", str(tmp_path))
    assert numbers["views"] == 2 * 3 * 4  # levels, steps, windows
    assert Image.open(tmp_path / "level_01.png").size == (192, 192)


def test_sharpness_falls_with_blur_and_not_with_colour():
    image = torch.rand(2, 3, 64, 64)
    blurred = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
    assert (sharpness(blurred) < 0.5 * sharpness(image)).all()
    torch.testing.assert_close(sharpness(image + 0.1), sharpness(image))
    assert sharpness(torch.full((1, 3, 8, 8), 0.3)).item() < 1e-6


def test_rings_are_found_where_the_next_level_begins():
    levels = torch.rand(2, 3, 128, 128)
    assert 0.8 < ring_energy(levels, 2).item() < 1.25
    framed = levels.clone()
    framed[0, :, 32:96, 32:96] += 2
    assert ring_energy(framed, 2).item() > 3
    elsewhere = levels.clone()
    elsewhere[0, :, 48:80, 48:80] += 2
    assert ring_energy(elsewhere, 2).item() < 1
    assert 0.6 < ring_energy(levels, 4).item() < 1.6  # there is no room for a ring 16 pixels further in
    assert ring_energy(elsewhere, 4).item() > 3
    for side in (64, 48):  # nor for one further out
        assert 0.6 < ring_energy(torch.rand(2, 3, side, side), 2).item() < 1.6

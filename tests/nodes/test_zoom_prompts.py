"""Zoom Prompts: text, presets and connected levels."""

import logging

import pytest
import torch
from joint_diffusion.nodes.host.demo_model import demo_clip
from joint_diffusion.nodes.zoom_presets import PRESETS
from joint_diffusion.nodes.zoom_prompts import OWN, ZoomPrompts
from tiny_models import prompt

SUBJECTS = ["space", "road", "hand", "leaf", "island", "forest", "field", "planet"]


@pytest.fixture(scope="module")
def clip():
    with torch.inference_mode():
        return demo_clip()


def make(clip, preset=OWN, prompts="", negative="", zoom_factor=0, levels=None):
    with torch.inference_mode():
        return ZoomPrompts.execute(clip, preset, prompts, negative, zoom_factor, levels).result


def encoded(clip, text):
    with torch.inference_mode():
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


def test_one_prompt_a_line(clip):
    stack, text, _ = make(clip, prompts="\n far lake \n\nnear forest\n", negative="clouds")
    assert stack.prompts == ("far lake", "near forest")
    assert text == "far lake\nnear forest"
    assert stack.zoom_factor == 2
    for (entry,), line in zip(stack.levels, stack.prompts, strict=True):
        assert torch.equal(entry[0], encoded(clip, line))
    assert torch.equal(stack.negative[0][0], encoded(clip, "clouds"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_brings_its_prompts_and_its_factor(clip, name):
    stack, text, zoom_factor = make(clip, name)
    assert len(stack.levels) == len(stack.prompts) >= 4
    assert text.splitlines() == list(PRESETS[name].prompts)
    assert stack.zoom_factor == zoom_factor == PRESETS[name].zoom_factor
    stack, _, zoom_factor = make(clip, name, zoom_factor=3)
    assert stack.zoom_factor == zoom_factor == 3


def test_presets_cover_the_subjects_of_the_paper():
    assert [name.split()[0] for name in PRESETS][:-1] == SUBJECTS
    for name in list(PRESETS)[:-1]:
        assert len(set(PRESETS[name].prompts)) == len(PRESETS[name].prompts) >= 6


def test_the_demo_preset_speaks_the_words_of_the_demo_model(clip, caplog):
    with caplog.at_level(logging.WARNING):
        make(clip, "demo model")
    assert "does not know" not in caplog.text


def test_connected_levels_in_their_order(clip):
    conditionings = {f"level_{number}": prompt(number) for number in (10, 2, 0)}
    stack, _, _ = make(clip, levels=conditionings)
    assert all(
        level is conditionings[name]
        for level, name in zip(stack.levels, ("level_0", "level_2", "level_10"), strict=True)
    )
    assert stack.prompts == ("level 0", "level 1", "level 2")
    named, *_ = make(clip, prompts="all\nhalf\na quarter", levels=conditionings)
    assert named.prompts == ("all", "half", "a quarter")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"prompts: a zoom stack has at least 2 levels, one prompt per line, got 0; write more"),
        ({"prompts": "one\n\n"}, r"prompts: .*at least 2 levels.*got 1; write more"),
        ({"prompts": "one\ntwo", "zoom_factor": 1}, r"zoom_factor: must be at least 2, or 0 .*got 1"),
        ({"preset": "leaf"}, r"preset: must be one of own prompts, space to desert, .*got 'leaf'"),
        (
            {"preset": "leaf to veins", "prompts": "one"},
            r"prompts: must be empty with .*'leaf.*clear the text",
        ),
        (
            {"preset": "leaf to veins", "levels": {"level_0": prompt(1)}},
            r"levels: must be empty with the preset .*disconnect them",
        ),
        (
            {"prompts": "one\ntwo\nthree", "levels": {"level_0": prompt(1), "level_1": prompt(2)}},
            r"prompts: .*one line for each.*got 3 lines for 2 levels",
        ),
        ({"levels": {"level_0": prompt(1)}}, r"prompts: .*at least 2 levels.*got 1.*connect levels"),
    ],
)
def test_wrong_input(clip, changes, message):
    with pytest.raises(ValueError, match=message):
        make(clip, **changes)

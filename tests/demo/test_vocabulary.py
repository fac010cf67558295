import logging

import pytest
import torch
from joint_diffusion.demo import vocabulary
from joint_diffusion.demo.text_encoder import TextEncoder, tokenise
from joint_diffusion.demo.vocabulary import LANDSCAPE_WORDS, LENGTH, PAD, ZOOMS

IDS, known_words, padded_ids = LANDSCAPE_WORDS.ids, LANDSCAPE_WORDS.known_words, LANDSCAPE_WORDS.padded_ids


def test_prompts_become_known_words_once_each():
    assert known_words("A snowy Night, with mountains and a mountain lake") == ["winter", "night", "mountains", "lake"]
    assert padded_ids(known_words("summer day")) == [IDS["summer"], IDS["day"]] + [PAD] * (LENGTH - 2)


def test_the_zoom_words_fit_a_stack_of_eight_levels():
    assert len(ZOOMS) == 8
    assert set(ZOOMS) <= set(IDS)
    assert known_words("Far trees, a closeup of needles, tiny") == ["far", "forest", "close", "macro"]


def test_unknown_words_are_ignored_with_a_message_and_the_known_ones_listed_once(caplog):
    vocabulary._list_words.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert known_words("summer castle") == ["summer"]
        assert known_words("winter tower") == ["winter"]
    first, words, second = caplog.messages
    assert "does not know castle" in first
    assert "does not know tower" in second
    assert all(word in words for word in LANDSCAPE_WORDS.words)


def test_numbers_and_other_scripts_are_unknown_words_too(caplog):
    assert known_words("winter, 4k, 山, été, 360") == ["winter"]
    assert "does not know 4k, 山, été, 360; ignored" in caplog.text


def test_words_beyond_the_length_are_ignored_with_a_message(caplog):
    words = LANDSCAPE_WORDS.words[: LENGTH + 2]
    assert known_words(" ".join(words[:LENGTH])) == [*words[:LENGTH]]
    assert not caplog.messages
    assert known_words(" ".join(words)) == [*words[:LENGTH]]
    (message,) = caplog.messages
    assert message.endswith(f"reads the first {LENGTH} words that it knows; ignored: {words[-2]}, {words[-1]}.")


@pytest.mark.parametrize("prompt", ["", "   ", "a panorama of the landscape"])
def test_an_empty_prompt_is_a_context_of_zeros(prompt):
    torch.manual_seed(0)
    context = TextEncoder(width=8)(tokenise([prompt, "winter"]))
    assert context.shape == (2, LENGTH, 8)
    assert (context[0] == 0).all()
    assert (context[1, 0] != 0).any()
    assert (context[1, 1:] == 0).all()

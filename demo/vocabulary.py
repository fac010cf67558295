"""The words that the demo model knows, and the tokens of a prompt."""

import logging
import re
from functools import cache

from .palette import HOURS, SEASONS

log = logging.getLogger(__name__)

ZOOMS = ("far", "wide", "near", "close", "detail", "fine", "macro", "micro")  # 1, 2, 4 ... 128 windows a scene high
FEATURES = ("mountains", "forest", "lake", "meadow", "sky", "clouds")
WORDS = (*SEASONS, *HOURS, *ZOOMS, *FEATURES)
LENGTH = 12  # tokens of every prompt
PAD = 0  # ids of words start at 1
IDS = {word: 1 + i for i, word in enumerate(WORDS)}

SYNONYMS = {
    "fall": "autumn", "snow": "winter", "snowy": "winter",
    "morning": "dawn", "sunrise": "dawn", "noon": "day", "daylight": "day", "sunny": "day",
    "evening": "dusk", "sunset": "dusk", "midnight": "night", "moonlight": "night",
    "distant": "far", "closeup": "close", "details": "detail", "tiny": "macro", "microscopic": "micro",
    "mountain": "mountains", "trees": "forest", "woods": "forest", "hills": "forest", "water": "lake",
    "grass": "meadow", "field": "meadow", "flowers": "meadow", "cloud": "clouds", "cloudy": "clouds",
    "needles": "forest", "rock": "mountains",
}  # fmt: skip
SILENT = frozenset({
    "a", "an", "the", "of", "in", "at", "on", "with", "and", "by", "over",
    "landscape", "panorama", "picture", "view", "scene",
})  # fmt: skip


def known_words(prompt: str) -> list[str]:
    """The words of a prompt that the model knows, in order, each once. A warning names the words that are ignored."""
    words = {raw: SYNONYMS.get(raw, raw) for raw in re.findall(r"[a-z]+", prompt.lower())}
    unknown = [raw for raw, word in words.items() if word not in IDS and raw not in SILENT]
    if unknown:
        log.warning("The demo model does not know %s; ignored.", ", ".join(unknown))
        _list_words()
    return list(dict.fromkeys(word for word in words.values() if word in IDS))[:LENGTH]


@cache  # only once, not for every level of a zoom
def _list_words() -> None:
    log.warning("The demo model knows: %s.", ", ".join(WORDS))


def padded_ids(words: list[str]) -> list[int]:
    """The ids of at most LENGTH known words, padded with PAD."""
    return [IDS[word] for word in words] + [PAD] * (LENGTH - len(words))

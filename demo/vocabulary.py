"""The words that a model of a world knows, and the tokens of a prompt."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from .palette import HOURS, SEASONS

log = logging.getLogger(__name__)

ZOOMS = ("far", "wide", "near", "close", "detail", "fine", "macro", "micro")  # 1, 2, 4 ... 128 windows a scene high
FEATURES = ("mountains", "forest", "lake", "meadow", "sky", "clouds")
LENGTH = 12  # tokens of every prompt
PAD = 0  # ids of words start at 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """The words of a world."""

    words: tuple[str, ...]
    synonyms: Mapping[str, str]
    silent: frozenset[str]  # words that mean nothing here, and need no message

    @cached_property
    def ids(self) -> dict[str, int]:
        """The token of each word."""
        return {word: 1 + i for i, word in enumerate(self.words)}

    def known_words(self, prompt: str) -> list[str]:
        """The words of a prompt that are known, in order, each once, at most LENGTH.

        Warnings name what is ignored: words that are not known, numbers and other scripts too, and words beyond LENGTH.
        """
        words = {raw: self.synonyms.get(raw, raw) for raw in re.findall(r"[^\W_]+", prompt.lower())}
        unknown = [raw for raw, word in words.items() if word not in self.ids and raw not in self.silent]
        if unknown:
            log.warning("The demo model does not know %s; ignored.", ", ".join(unknown))
            _list_words(self)
        return self.within_length(dict.fromkeys(word for word in words.values() if word in self.ids))

    def within_length(self, words: Iterable[str]) -> list[str]:
        """The first LENGTH of known words. A warning names the others."""
        words = [*words]
        if len(words) > LENGTH:
            beyond = ", ".join(words[LENGTH:])
            log.warning("The demo model reads the first %d words that it knows; ignored: %s.", LENGTH, beyond)
        return words[:LENGTH]

    def padded_ids(self, words: list[str]) -> list[int]:
        """The ids of at most LENGTH known words, padded with PAD."""
        return [self.ids[word] for word in words] + [PAD] * (LENGTH - len(words))


@cache  # only once, not for every level of a zoom
def _list_words(vocabulary: Vocabulary) -> None:
    log.warning("The demo model knows: %s.", ", ".join(vocabulary.words))


SYNONYMS = {
    "morning": "dawn", "sunrise": "dawn", "noon": "day", "daylight": "day", "sunny": "day",
    "evening": "dusk", "sunset": "dusk", "midnight": "night", "moonlight": "night",
    "distant": "far", "closeup": "close", "details": "detail", "tiny": "macro", "microscopic": "micro",
    "cloud": "clouds", "cloudy": "clouds",
}  # fmt: skip
"""Of all worlds."""
SILENT = frozenset({
    "a", "an", "the", "of", "in", "at", "on", "with", "and", "by", "over", "panorama", "picture", "view", "scene",
})  # fmt: skip
"""Of all worlds."""

_LANDSCAPE_SYNONYMS = {
    "fall": "autumn", "snow": "winter", "snowy": "winter",
    "mountain": "mountains", "trees": "forest", "woods": "forest", "hills": "forest", "water": "lake",
    "grass": "meadow", "field": "meadow", "flowers": "meadow", "needles": "forest", "rock": "mountains",
}  # fmt: skip
LANDSCAPE_WORDS = Vocabulary(
    words=(*SEASONS, *HOURS, *ZOOMS, *FEATURES),
    synonyms=SYNONYMS | _LANDSCAPE_SYNONYMS,
    silent=SILENT | {"landscape"},
)

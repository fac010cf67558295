"""Prompts as people give them: lines of text, or connected conditionings with lines as their names."""

from collections.abc import Sequence
from typing import Any


def lines_of(text: str) -> list[str]:
    """The lines that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def connected(places: dict[str, Any] | None) -> list:
    """What is connected to the places of an Autogrow input, such as level_0 and level_2, by their numbers."""
    numbers = {name: int(name.rsplit("_", 1)[-1]) for name in places or {}}
    return [places[name] for name in sorted(numbers, key=numbers.__getitem__) if places and places[name] is not None]


def require_a_name_for_each(names: Sequence[str], what: str, count: int) -> None:
    """Refuse lines that are not as many as the connected `what`, such as levels."""
    if len(names) != count:
        raise ValueError(
            f"prompts: with connected {what} there must be one line for each, as their names, or none; got "
            f"{len(names)} lines for {count} {what}."
        )


def encoded(clip, text: str) -> list:
    """A CONDITIONING."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))

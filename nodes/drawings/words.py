"""Numbers in words."""


def count_of(number: int, noun: str) -> str:
    """Such as "1 window" or "3 windows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

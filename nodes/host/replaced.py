"""Changes that last for one pass, and leave nothing behind."""

from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

ABSENT = object()


@contextmanager
def replaced(entries: Iterable[tuple[MutableMapping[str, Any], str, Any]]) -> Iterator[None]:
    """Inside, each mapping holds the new value at its key; afterwards what it held before, or nothing again.

    Objects are changed through `vars(thing)`: it tells an instance's own attribute from its class's, so a module that
    had no `forward` of its own has none afterwards. `entries` may be a generator: should it fail half way, what it
    changed until then is undone too.
    """
    former = []
    try:
        for mapping, key, value in entries:
            former.append((mapping, key, mapping.get(key, ABSENT)))
            mapping[key] = value
        yield
    finally:
        for mapping, key, value in reversed(former):
            if value is ABSENT:
                mapping.pop(key, None)
            else:
                mapping[key] = value

"""Models write into tensors that autograd has saved; what it saved must survive that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch


class _KeptOriginals(WeakKeyDictionary):
    """Keeps what is deleted from it until the end."""

    def __init__(self):
        super().__init__()
        self._deleted: list[Any] = []

    def __delitem__(self, key: Any) -> None:
        self._deleted.append(self[key])
        super().__delitem__(key)


@contextmanager
def saved_tensors_survive_writes() -> Iterator[None]:
    """`torch.autograd.graph.allow_mutation_on_saved_tensors` without its flaw; forward and backward both run inside.

    It copies a saved tensor that is about to be overwritten and lets go of the original. The next tensor may then get
    the address and the `id` by which the original is known, and when that one is saved autograd is handed the copy of
    the other: a wrong gradient, now and then, in silence. So the originals are kept as long as they are known.
    Inside of itself it does nothing more.
    """
    if torch.autograd.graph._allow_mutation_on_saved_tensors_enabled:
        yield
        return
    with torch.autograd.graph.allow_mutation_on_saved_tensors() as context:
        context.original = _KeptOriginals()
        yield

"""Models write into tensors that autograd has saved; what it saved must survive that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

T = TypeVar("T")

# Part of what autograd says in a backward pass that meets such a tensor.
OVERWRITTEN = "modified by an inplace operation"


class Backpropagation:
    """Runs forward and backward passes of a model, which may write into what autograd has saved (Flux: `img += ...`).

    Most models never do, and to watch every operation for it slows a small model down by a fifth. So a pass is watched
    only once autograd has refused one.
    """

    def __init__(self):
        self._watched = False

    def __call__(self, passes: Callable[[], T]) -> T:
        """What `passes()` returns; it may be called twice."""
        if not self._watched:
            try:
                with _saved_without_history():
                    return passes()
            except RuntimeError as error:
                if OVERWRITTEN not in str(error):
                    raise
            self._watched = True
        with saved_tensors_survive_writes():
            return passes()


@contextmanager
def _saved_without_history() -> Iterator[None]:
    """Inside, autograd saves the numbers of tensors, and not where they come from.

    Else `img += block(img)` closes a circle: what the block has saved is the new img, whose history is the block. Only
    a backward pass that comes by would open it. Of one that is refused, interrupted or out of memory all would stay
    for ever, the activations and the layers of the model: garbage collection does not see circles in autograd.
    """

    def pack(tensor: Tensor) -> tuple[Tensor, int]:
        numbers = tensor.detach()
        return numbers, numbers._version

    def unpack(saved: tuple[Tensor, int]) -> Tensor:
        numbers, version = saved
        if numbers._version != version:
            raise RuntimeError(f"A tensor that autograd has saved has been {OVERWRITTEN}")
        return numbers

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


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
    """
    with torch.autograd.graph.allow_mutation_on_saved_tensors() as context:
        context.original = _KeptOriginals()
        yield

"""What a patch of the model remembers: attributes of objects, arguments of partials, variables of closures."""

from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

Variables = MutableMapping[str, Any]

# A patch may be a function that calls an object that calls a function. What lies further on is not of the patch.
DEPTH = 3
CLOSED = (type, ModuleType, Tensor, ModelPatcher)
OF_THE_HOST = ("comfy.", "torch.")  # models, VAEs and the like; a patch of these packages is opened all the same


def opened(thing: Any, seen: set[int], depth: int = DEPTH) -> Iterator[tuple[Any, Variables]]:
    """Whose variables, and the variables, of a patch and of what it calls. Written to, they change.

    Args:
        thing: a function, a method, an object, or a list of them.
        seen: identities of what has been opened already; it is added to.
        depth: how far to follow.
    """
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, MethodType):
        yield from opened(thing.__self__, seen, depth)
        return
    variables = _variables(thing)
    if variables is not None:
        yield thing, variables
    if depth:
        for one in _inside(thing, variables):
            if _may_carry(one):
                yield from opened(one, seen, depth - 1)


def tensors_in(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested lists, tuples and dicts, but no weights, by the name of the nearest key or variable."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        yield name, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from tensors_in(key if isinstance(key, str) else name, one)
    elif isinstance(value, list) or type(value) is tuple:
        for one in value:
            yield from tensors_in(name, one)


def changed(name: str, value: Any, change: Callable[[str, Tensor], Tensor]) -> Any:
    """A copy of the value in which the tensors that `tensors_in` finds are what `change` makes of them."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return change(name, value)
    if isinstance(value, dict):
        return {key: changed(key if isinstance(key, str) else name, one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [changed(name, one, change) for one in value]
    if type(value) is tuple:
        return tuple(changed(name, one, change) for one in value)
    return value


def _variables(thing: Any) -> Variables | None:
    if isinstance(thing, partial):
        return thing.keywords
    if isinstance(thing, FunctionType):
        return _Closure(thing)
    return vars(thing) if hasattr(thing, "__dict__") else None


def _inside(thing: Any, variables: Variables | None) -> list[Any]:
    if isinstance(thing, nn.Module):
        return []  # of its layers only weights are to be expected
    if isinstance(thing, (list, tuple)):
        return [*thing]
    if isinstance(thing, dict):
        return [*thing.values()]
    called = [thing.func, *thing.args] if isinstance(thing, partial) else []
    return [*called, *(variables or {}).values()]


def _may_carry(thing: Any) -> bool:
    if isinstance(thing, (list, tuple, dict, nn.Module, FunctionType, MethodType, partial)):
        return True
    own = hasattr(thing, "__dict__") and not isinstance(thing, CLOSED)
    return own and not f"{type(thing).__module__}.".startswith(OF_THE_HOST)


class _Closure(MutableMapping[str, Any]):
    """The variables that a function has closed over, by name, as far as they have a value."""

    def __init__(self, function: FunctionType):
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def __getitem__(self, name: str) -> Any:
        try:
            return self._cells[name].cell_contents
        except ValueError as empty:
            raise KeyError(name) from empty

    def __setitem__(self, name: str, value: Any) -> None:
        self._cells[name].cell_contents = value

    def __delitem__(self, name: str) -> None:
        del self._cells[name].cell_contents

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._cells if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

"""Values within values: what the host passes to parts of a model, in dicts, lists and tuples one in the other."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with `change` of each leaf in its place, in dicts, lists and tuples of its own.

    All else is a leaf, None and objects of other classes too: what they hold is not looked at.
    """
    if type(value) in (dict, OrderedDict, defaultdict):
        whole = copy(value)
        whole.update({key: changed(part, change) for key, part in value.items()})
        return whole
    if type(value) in (list, tuple):
        return type(value)([changed(part, change) for part in value])
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named one
        return type(value)(*(changed(part, change) for part in value))
    return change(value)


def taken_apart(value: Any) -> tuple[list[Any], Any]:
    """The leaves of `value` in order, and its shape for `put_together`: the same with None for each leaf."""
    leaves: list[Any] = []
    return leaves, changed(value, leaves.append)


def put_together(leaves: Sequence[Any], shape: Any) -> Any:
    """What `taken_apart` has been given, with these leaves."""
    left = iter(leaves)
    return changed(shape, lambda _: next(left))

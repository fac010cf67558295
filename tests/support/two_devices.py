"""A second device on a machine that has none: its tensors compute on the CPU, and refuse what a GPU refuses.

They say that they are on `ELSEWHERE`, the device that torch has for tensors without numbers; but these have numbers.
Refused are tensors of both devices in one operation, except for single numbers in arithmetic, for indices in main
memory of a tensor elsewhere, and for copies. Noted is what makes a program wait for a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joint_diffusion.nodes.host.gradients.nested import changed, taken_apart
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ELSEWHERE = torch.device("meta")

COPIES = ("_to_copy", "copy_")
READING = ("_local_scalar_dense", "equal", "masked_select", "nonzero")  # the first is item(), float(), bool(), ...
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
WITHOUT_EXCEPTION = ("addmm", "bmm", "cat", "lerp", "lerp_", "mm", "scatter_add_", "stack")  # not even single numbers


class Elsewhere(Tensor):
    """A tensor of the second device; `here` has its numbers."""

    @staticmethod
    def __new__(cls, here: Tensor):
        return Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=ELSEWHERE
        )

    def __init__(self, here: Tensor):
        self.here = here

    def __repr__(self):
        return f"Elsewhere({self.here})"

    def __getitem__(self, place):
        # Of a list torch would make an index elsewhere by itself, which had no numbers.
        places = place if isinstance(place, tuple) else (place,)
        return super().__getitem__(tuple(torch.tensor(p) if isinstance(p, list) else p for p in places))

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, _types, args=(), kwargs=None):
        return _computed(operation, args, kwargs or {}, [])


@contextmanager
def second_device(has_float64: bool = True) -> Iterator[list[str]]:
    """Inside, `ELSEWHERE` is a device. Yields the names of the operations that have waited for it, as they come.

    Apple's GPUs and some of Intel's have no float64.
    """
    with _TwoDevices(has_float64) as devices:
        yield devices.waits


class _TwoDevices(TorchDispatchMode):
    def __init__(self, has_float64: bool):
        super().__init__()
        self.has_float64, self.waits = has_float64, list[str]()

    def __torch_dispatch__(self, operation, _types, args=(), kwargs=None):
        result = _computed(operation, args, kwargs or {}, self.waits)
        made = [leaf for leaf in taken_apart(result)[0] if isinstance(leaf, Elsewhere)]
        if not self.has_float64 and any(tensor.dtype == torch.float64 for tensor in made):
            raise TypeError(f"{operation.overloadpacket.__name__}: this device has no float64")
        return result


def _computed(operation, args, kwargs, waits: list[str]):
    """What the operation gives on the CPU, as tensors of the device where a GPU would have it."""
    name, device = operation.overloadpacket.__name__, kwargs.get("device")
    tensors = [leaf for leaf in taken_apart((args, kwargs))[0] if isinstance(leaf, Tensor)]
    if any(tensor.is_meta and not isinstance(tensor, Elsewhere) for tensor in tensors):
        raise NotImplementedError(f"{name} got a tensor that torch has made elsewhere by itself, so without numbers.")
    away = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    lands_away = bool(away) if device is None else device == ELSEWHERE
    if not away and not lands_away:
        return operation(*args, **kwargs)
    mixed = 0 < len(away) < len(tensors)
    if mixed and name not in COPIES:
        _refuse_mixture(name, args, tensors)
    if name in READING or (name in COPIES and (mixed or lands_away != bool(away))) or (name in INDEXING and mixed):
        waits.append(name)
    known = {id(tensor.here): tensor for tensor in away}  # what is changed in place is given back as it came
    args, kwargs = changed((args, kwargs), lambda leaf: leaf.here if isinstance(leaf, Elsewhere) else leaf)
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    result = operation(*args, **kwargs)
    if not lands_away or (name == "copy_" and not isinstance(tensors[0], Elsewhere)):
        return result

    def there(leaf):
        if id(leaf) in known:
            return known[id(leaf)]
        return Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf

    return changed(result, there)


def _refuse_mixture(name: str, args, tensors: list[Tensor]) -> None:
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere)]
    changes_here = name.endswith("_") and any(tensor is args[0] for tensor in here)
    if name in INDEXING and isinstance(args[0], Elsewhere):
        here = [tensor for tensor in args[2:3] if not isinstance(tensor, Elsewhere)]
    if changes_here or name in WITHOUT_EXCEPTION or any(tensor.ndim > 0 for tensor in here):
        places = ", ".join(f"{tuple(t.shape)} {'elsewhere' if isinstance(t, Elsewhere) else 'here'}" for t in tensors)
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {places}")

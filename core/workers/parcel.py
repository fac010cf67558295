"""What is sent to another process: plain values and tensors, and no tensor twice to the same one.

Tensors are known by their contents, which must not change while they live. Of those that a worker has, only the digest
is sent. So conditioning that is the same in every step, or for every window, goes to each worker once.
"""

import hashlib
import io
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from functools import partial
from typing import Any

import torch
from torch import Tensor

MOST_KEPT = 2**30  # bytes of tensors that each worker keeps, or what one parcel wants if that is more
ALWAYS = {"uuid.UUID", "uuid.SafeUUID", "torch.Size", "torch.device", "torch.dtype"}  # beside what pickle knows itself
HALF = torch.float16


class CannotBeSent(Exception):
    """A value lives in this process only; the message names what it is."""


class Stowage:
    """What each worker has been sent in one run."""

    def __init__(self, allowed: Collection[str] = ()):
        """`allowed` are modules whose classes the other side may build, beside plain values."""
        self._allowed = frozenset(allowed)
        self._digests: dict[int, tuple[weakref.ref[Tensor], str]] = {}
        self._kept: dict[Hashable, OrderedDict[str, int]] = {}

    def pack(self, worker: Hashable, lasting: Any, passing: Any = None) -> bytes:
        """A parcel for the `Unpacker` of this worker. Parcels must be unpacked in the order in which they are packed.

        Args:
            worker: who gets it.
            lasting: a value whose tensors may be wanted again: they are sent if the worker does not have them.
            passing: a value whose tensors are sent, and not kept.

        Raises:
            CannotBeSent: a part is neither plain nor a tensor nor of a module that is allowed.
        """
        kept = self._kept.setdefault(worker, OrderedDict())
        sent: dict[str, Any] = {}
        wanted: dict[str, int] = {}

        def keep(tensor: Tensor) -> str:
            digest = self._digest(tensor)
            if digest not in kept and digest not in sent:
                sent[digest] = _flat(tensor)
            wanted[digest] = tensor.nbytes
            return digest

        def pass_on(tensor: Tensor) -> str:
            name = str(len(sent))
            sent[name] = _flat(tensor)
            return name

        bodies = [_body(lasting, keep, self._allowed), _body(passing, pass_on, self._allowed)]
        for digest, size in wanted.items():  # only now: what cannot be packed is not sent either
            kept[digest] = size
            kept.move_to_end(digest)
        forgotten: list[str] = []
        while sum(kept.values()) > MOST_KEPT and (oldest := next(iter(kept))) not in wanted:
            forgotten.append(oldest)
            del kept[oldest]
        return pickle.dumps((bodies, sent, [name for name in sent if name in kept], forgotten))

    def forget(self, worker: Hashable) -> None:
        """It has gone, and what it had with it."""
        self._kept.pop(worker, None)

    def _digest(self, tensor: Tensor) -> str:
        known = self._digests.get(id(tensor))
        if known is None or known[0]() is not tensor:
            dtype, shape, numbers = _flat(tensor)
            digest = hashlib.blake2b(numbers, digest_size=16, key=f"{dtype} {shape}".encode()[:64]).hexdigest()
            gone = partial(self._digests.pop, id(tensor))
            self._digests[id(tensor)] = known = weakref.ref(tensor, lambda _: gone(None)), digest
        return known[1]


class Unpacker:
    """The other side: what a worker has been sent in one run."""

    def __init__(self, device: torch.device | str = "cpu"):
        """Start with nothing; tensors come to `device`."""
        self._device = device
        self._kept: dict[str, Tensor] = {}

    def unpack(self, parcel: bytes) -> tuple[Any, Any]:
        """(lasting, passing) as they were packed."""
        bodies, sent, lasting, forgotten = pickle.loads(parcel)
        tensors = {name: _tensor(*flat) for name, flat in sent.items()}
        self._kept |= {name: tensors[name] for name in lasting}
        for name in forgotten:
            del self._kept[name]
        # Only now: where the device is full, what has come is here for the next parcel, which only names it.
        have = {name: tensor.to(self._device) for name, tensor in (self._kept | tensors).items()}
        self._kept = {name: have[name] for name in self._kept}
        first, second = (_Unpickler(io.BytesIO(body), have).load() for body in bodies)
        return first, second


def require_sendable(value: Any, allowed: Collection[str] = ()) -> None:
    """Check that the value could be packed, without a look at its numbers.

    Raises:
        CannotBeSent: as `Stowage.pack`.
    """
    _body(value, lambda _: "", frozenset(allowed))


def light(tensor: Tensor) -> Tensor:
    """The tensor in half precision, if it holds all its numbers."""
    half = tensor.to(HALF)
    return half if bool(half.isfinite().all()) else tensor


def _body(value: Any, stow: Callable[[Tensor], str], allowed: frozenset[str]) -> bytes:
    out = io.BytesIO()
    _Pickler(out, stow, allowed).dump(value)
    return out.getvalue()


def _flat(tensor: Tensor) -> tuple[str, tuple[int, ...], bytes]:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), numbers


def _tensor(dtype: str, shape: tuple[int, ...], numbers: bytes) -> Tensor:
    kind: torch.dtype = getattr(torch, dtype)
    if not numbers:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(numbers), dtype=kind).reshape(shape)


def _is_allowed(kind: type, allowed: frozenset[str]) -> bool:
    return kind.__module__ in allowed or f"{kind.__module__}.{kind.__qualname__}" in ALWAYS


class _Pickler(pickle.Pickler):
    def __init__(self, out: io.BytesIO, stow: Callable[[Tensor], str], allowed: frozenset[str]):
        super().__init__(out, protocol=5)
        self._stow, self._allowed = stow, allowed

    def persistent_id(self, obj: Any) -> str | None:
        return self._stow(obj) if type(obj) is Tensor else None

    def reducer_override(self, obj: Any) -> Any:
        # Asked about all that pickle does not know itself: objects, classes and functions.
        kind = obj if isinstance(obj, type) else type(obj)
        if isinstance(obj, torch.dtype) or _is_allowed(kind, self._allowed):
            return NotImplemented
        raise CannotBeSent(f"{getattr(obj, '__qualname__', kind.__qualname__)} ({kind.__module__})")


class _Unpickler(pickle.Unpickler):
    def __init__(self, body: io.BytesIO, tensors: dict[str, Tensor]):
        super().__init__(body)
        self._tensors = tensors

    def persistent_load(self, pid: str) -> Tensor:
        return self._tensors[pid]

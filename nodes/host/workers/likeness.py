"""Whether two processes have the same model: a few numbers of each weight, what is patched, and what is where.

Files of one name may differ from machine to machine, and so may the versions of packs. The precision of the weights may
differ too: the host chooses it by the device. So the numbers are compared, not their bits.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from .told import options_of

# Between float32 and bfloat16, by as much as the latter rounds.
TOLERANCE = 0.01
SHOWN = 3  # differences that a message names


class Likeness(NamedTuple):
    """Of one model: plain, so that it can be sent."""

    weights: dict[str, list[float]]  # by name, a few numbers of each
    patches: dict[str, list[float]]  # by weight or object, strengths and a few numbers of what is patched there
    options: list[str]  # places of the model options, and what kind of thing is there


def likeness(patcher: ModelPatcher) -> Likeness:
    """That of the model, as it is without what the host does to its weights while it is loaded."""
    originals = {name: kept.weight for name, kept in patcher.backup.items()}
    replaced = tuple(patcher.object_patches)  # they are in the model as long as it is loaded
    weights = {
        name: originals.get(name, weight)
        for name, weight in patcher.model_state_dict().items()
        if not name.startswith(replaced)
    }
    patches: dict[str, Any] = {str(name): [*patches] for name, patches in patcher.patches.items()}
    patches.update(patcher.object_patches)
    return Likeness(
        weights={name: _numbers(weight) for name, weight in weights.items()},
        patches={name: _numbers(thing) for name, thing in patches.items()},
        options=sorted(_places(options_of(patcher), "")),
    )


def difference(here: Likeness, there: Likeness) -> str | None:
    """What the other model has that this one has not, or the other way round; None if they are alike."""
    for what, mine, theirs in zip(("weights", "patches"), here[:2], there[:2], strict=True):
        if other := [name for name in mine.keys() | theirs.keys() if not _close(mine.get(name), theirs.get(name))]:
            named = ", ".join(sorted(other)[:SHOWN])
            return f"its model has other {what} ({len(other)} of {len(mine)}: {named}); give it the same files"
    if other := sorted({*here.options} ^ {*there.options}):
        return f"its nodes have patched the model in another way ({', '.join(other[:SHOWN])}); give it the same packs"
    return None


def _numbers(thing: Any) -> list[float]:
    return [number for tensor in _tensors(thing) for number in _few(tensor)]


def _tensors(thing: Any) -> Iterator[Tensor]:
    """Tensors and numbers of nested patches: tuples, adapters of LoRAs, modules."""
    if isinstance(thing, (bool, int, float)):
        yield torch.tensor(float(thing))
    elif type(thing) in (Tensor, nn.Parameter):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for one in thing:
            yield from _tensors(one)
    elif isinstance(thing, nn.Module):
        yield from thing.state_dict().values()
    elif hasattr(thing, "weights"):  # an adapter
        yield from _tensors(thing.weights)


def _few(tensor: Tensor) -> list[float]:
    if tensor.numel() == 0 or tensor.is_meta:
        return []
    places = [tuple((side - 1) * part // 4 for side in tensor.shape) for part in (1, 3)]
    return torch.stack([tensor[place] for place in places]).float().tolist()


def _close(mine: list[float] | None, theirs: list[float] | None) -> bool:
    if mine is None or theirs is None or len(mine) != len(theirs):
        return False
    pairs = zip(mine, theirs, strict=True)
    return all(one == other or abs(one - other) <= TOLERANCE * max(abs(one), abs(other)) for one, other in pairs)


def _places(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, f"{place}/{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _places(one, f"{place}/{number}")
    else:
        yield f"{place} {getattr(value, '__qualname__', type(value).__qualname__)}"

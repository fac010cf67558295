"""The model options of a call, as another process can be told them.

They hold functions and objects that nodes have patched into the model. Those cannot be sent. But the other process has
run the same nodes, so at the same place in its own options it has its own. So it is told where, and of all that is new
since then what it is, if it is plain.
"""

from collections.abc import Collection
from typing import Any

import comfy.patcher_extension
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....core.workers.parcel import CannotBeSent
from ..settings import CALL, KEY

OWN = "joint_diffusion_own"  # in what is told: the place in the own options

# Of the model options, what a prediction of views depends on. All else acts on canvases, where the work comes from.
NEEDED = ("transformer_options", "model_function_wrapper")
# Wrappers around calls that only the process has that samples.
OUTER = (
    WrappersMP.OUTER_SAMPLE,
    WrappersMP.PREPARE_SAMPLING,
    WrappersMP.SAMPLER_SAMPLE,
    WrappersMP.PREDICT_NOISE,
    WrappersMP.CALC_COND_BATCH,
)
PLAIN = (type(None), bool, int, float, complex, str, bytes)


def options_of(patcher: ModelPatcher) -> dict[str, Any]:
    """The options that a run of this model begins with, as the host puts them together."""
    options = create_model_options_clone(patcher.model_options)
    inner = options.setdefault("transformer_options", {})
    for name, held in (("wrappers", patcher.wrappers), ("callbacks", patcher.callbacks)):
        comfy.patcher_extension.merge_nested_dicts(inner.setdefault(name, {}), held, copy_dict1=False)
    return options


def told(options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What to tell of the options of a call to one who has the options `known` in its own way.

    Raises:
        CannotBeSent: something that it does not have and that is not plain; names its place.
    """
    inner = {key: value for key, value in options["transformer_options"].items() if key not in (KEY, CALL)}
    inner["wrappers"] = {kind: held for kind, held in inner.get("wrappers", {}).items() if kind not in OUTER}
    needed = {key: options[key] for key in NEEDED if key in options} | {"transformer_options": inner}
    return _told(needed, known, ())


def own(told: Any, options: dict[str, Any]) -> Any:
    """The same with what the options have at the places that it names."""
    if isinstance(told, dict):
        if OWN not in told:
            return {key: own(value, options) for key, value in told.items()}
        found: Any = options
        for key in told[OWN]:
            found = found[key]
        return found
    return [own(value, options) for value in told] if isinstance(told, list) else told


def _told(value: Any, known: Any, place: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        theirs = known if isinstance(known, dict) else {}
        return {key: _told(one, theirs.get(key), (*place, key)) for key, one in value.items()}
    if isinstance(value, list):
        theirs = known if isinstance(known, list) else []
        return [_told(one, _at(theirs, i), (*place, i)) for i, one in enumerate(value)]
    if isinstance(value, PLAIN):
        return value
    if known is value:
        return {OWN: [*place]}
    if isinstance(value, Tensor) or (isinstance(value, tuple) and _all_plain(value)):
        return value
    raise CannotBeSent(
        f"{'/'.join(map(str, place))} is of this process ({getattr(value, '__qualname__', type(value).__qualname__)})"
    )


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None


def _all_plain(values: Collection[Any]) -> bool:
    return all(isinstance(one, (*PLAIN, Tensor)) for one in values)

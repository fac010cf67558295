"""All that a run could leave changed, in a form that can be compared.

Import only after `host.start_host`.
"""

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from tests.support.traces import traces

HOST_MODULES = ("comfy", "comfy_extras", "comfy_api", "folder_paths", "latent_preview", "joint_diffusion")
TORCH_MODULES = ("torch", "torch.nn.functional", "torch.nn.modules.module", "torch.utils.checkpoint")
# What the host itself changes in every run, with and without the pack.
OF_THE_HOST = {
    "comfy.model_management.current_loaded_models",  # the order in which models were used
    "comfy.model_management.interrupt_processing",  # a click that came too late; the host forgets it before a prompt
    "comfy.model_management.RAM_CACHE_HEADROOM",
}
OF_A_PATCHER = {"model_lowvram", "lowvram_patch_counter"}
OF_A_CONTROL = {"timestep_range", "model_sampling_current"}  # until the next run, after an interrupt, without the pack
PLAIN = (int, float, str, bytes, bool, type(None), torch.dtype, torch.device)
State = dict[str, Any]


def state_of(watched: Iterable[Any]) -> State:
    """Networks bit by bit, options and hooks of what holds them, globals of the host, modes of torch.

    `watched` are patchers, VAEs and ControlNets.
    """
    found: State = {"modes of torch": _modes()}
    for number, thing in enumerate(watched):
        for name, value in traces(*_networks(thing)).items():
            found[f"{number}.{name}"] = value
        for holder in (thing, getattr(thing, "patcher", None)):
            if holder is not None:
                for name, value in vars(holder).items():
                    if name not in OF_A_CONTROL:
                        found[f"{number}.{type(holder).__name__}.{name}"] = _copy(value)
    return found | _globals()


def changed(before: State, after: State) -> list[str]:
    """The names of what is not the same."""
    return [name for name in before | after if not _same(before.get(name), after.get(name))]


def _networks(thing: Any) -> list[torch.nn.Module]:
    if hasattr(thing, "model_options"):
        return [thing.model.diffusion_model, thing.model.model_sampling]
    return [thing.first_stage_model if hasattr(thing, "first_stage_model") else thing.control_model]


def _copy(value: Any, depth: int = 6) -> Any:
    """Containers as they are now, and the very objects in them."""
    if depth and isinstance(value, dict):
        return {key: _copy(part, depth - 1) for key, part in value.items()}
    if depth and isinstance(value, (list, tuple, set)):
        return [_copy(part, depth - 1) for part in value]
    return value


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, PLAIN) and type(one) is type(other) and one == other


def _globals() -> State:
    """What the modules of the host, of the pack and of torch hold, and the classes of the first two."""
    found: State = {}
    for name, module in [*sys.modules.items()]:
        ours = name.partition(".")[0] in HOST_MODULES
        if module is None or not (ours or name in TORCH_MODULES):
            continue
        for key, value in [*vars(module).items()]:
            path = f"{name}.{key}"
            if key.startswith("__") or path in OF_THE_HOST:
                continue
            found[path] = _copy(value, 1)
            if ours and isinstance(value, type) and value.__module__ == name:
                found |= {f"{path}.{part}": kept for part, kept in vars(value).items() if not part.startswith("__")}
    return found


def _modes() -> list[Any]:
    return [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        len(_get_current_function_mode_stack()),
        len(_get_current_dispatch_mode_stack()),
        torch._C._autograd._top_saved_tensors_default_hooks(True),  # pyright: ignore[reportAttributeAccessIssue]
        sys.getprofile(),
        sys.gettrace(),
    ]

"""What a guided run may touch, in a form that can be compared: it must be the same before and after."""

from typing import Any

import comfy.model_management
import torch
from torch import nn


def traces(*roots: nn.Module) -> dict[str, Any]:
    """Modes, and of every module its attributes (a `forward` among them), hooks, parameters and buffers, bit by bit."""
    found: dict[str, Any] = {
        "modes": (comfy.model_management.in_training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }
    for root in roots:
        for path, module in root.named_modules(prefix=type(root).__name__):
            attributes = {name: id(value) for name, value in vars(module).items()}
            found[path] = attributes, len(module._forward_hooks), module.training
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                if value is not None:
                    content = hash(value.detach().numpy().tobytes())
                    found[f"{path}.{name}"] = id(value), value.requires_grad, value.is_inference(), content
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is not the same."""
    return [name for name in before | after if before.get(name) != after.get(name)]

"""A network whose answer is known: so what windows must give is known, too.

The real network runs, with all that can go wrong in it. Then its answer is exchanged for one that looks at each cell
by itself: at the cell, at what is concatenated to it, at the hint of a ControlNet there, and at the prompt, the noise
level and the weights of this row. Whichever windows look at it, and however they are fused, the picture must be that of
sampling without windows. What sees another cell, another prompt or another hint than its own gives another picture.

Import only after `host.start_host`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import comfy.cldm.cldm
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

WATCHED = "attn1.to_q.weight"  # a LoRA in the tests' form changes it


class KnownAnswer(AbstractContextManager["KnownAnswer"]):
    """While it is open, the model gives the known answer.

    Attributes:
        seen: (height, width) in cells of every view that the network was asked about.
        before: called before each call of the network, with how many there were.
    """

    def __init__(self, model: ModelPatcher, before: Callable[[int], object] | None = None):
        self.seen: list[tuple[int, int]] = []
        self.before = before
        self._network = model.model.diffusion_model
        self._hint: Tensor | None = None
        self._hooks: list[Any] = []

    def __enter__(self) -> "KnownAnswer":
        self._hooks = [
            self._network.register_forward_pre_hook(self._asked, with_kwargs=True),
            self._network.register_forward_hook(self._answer, with_kwargs=True),
            register_module_forward_hook(_hint_itself, with_kwargs=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _asked(self, _network: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> None:
        if self.before is not None:
            self.before(len(self.seen))
        x, control = inputs[0], named.get("control")
        self.seen.append((x.shape[-2], x.shape[-1]))
        # The network takes the hints out of their lists.
        hints = [hint for hint in (control or {}).get("output", ()) if hint is not None and _same_cells(hint, x)]
        self._hint = hints[0].mean(1, keepdim=True) if hints else None

    def _answer(self, network: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any], output: Tensor) -> Tensor:
        x, time, context = inputs[0], inputs[1], named.get("context")
        context = inputs[2] if context is None else context
        of_row = torch.sin(time.float()) + context.float().flatten(1).mean(1)
        of_row = of_row.view(-1, *[1] * (x.ndim - 1)) + _watched(network)
        answer = 0.5 * x[:, : output.shape[1]] + 0.2 * x.mean(1, keepdim=True) + of_row
        return (answer if self._hint is None else answer + self._hint).to(output)


def _hint_itself(module: nn.Module, _inputs: tuple, named: dict[str, Any], output: Any) -> Any:
    """A ControlNet says what the hint is in each cell, and nothing of its surroundings."""
    if not isinstance(module, comfy.cldm.cldm.ControlNet):
        return None
    cells = nn.functional.avg_pool2d(named["hint"], 8).mean(1, keepdim=True)
    told = [
        cells.expand(len(part), part.shape[1], -1, -1).clone() if _same_cells(cells, part) else torch.zeros_like(part)
        for part in output["output"]
    ]
    return {"middle": [torch.zeros_like(part) for part in output["middle"]], "output": told}


def _same_cells(one: Tensor, other: Tensor) -> bool:
    return one.shape[-2:] == other.shape[-2:]


def _watched(network: nn.Module) -> float:
    """A number that a LoRA changes; 0 in networks that have no such layer."""
    weights = (value for name, value in network.named_parameters() if name.endswith(WATCHED))
    weight = next(weights, None)
    return 0.0 if weight is None else weight.detach().float().mean().item()

"""Trade time for memory: keep the inputs of a model's blocks only, and run each block again in the backward pass.

Not `torch.utils.checkpoint`: several models update their inputs in place (Flux: `img += ...`), and there it raised
errors or, worse, gave gradients that were wrong by 1e-4. Here a block always gets copies of its inputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential
from torch import Tensor, nn

from ..replaced import replaced
from .inference_tensors import thawed
from .layers import gradient_rule
from .nested import put_together, taken_apart


@contextmanager
def checkpointed_blocks(root: nn.Module) -> Iterator[None]:
    """Inside, the blocks of `root` save their inputs and nothing else for the backward pass."""
    with replaced((vars(block), "forward", _checkpointed_forward(block)) for block in list(find_blocks(root))):
        yield


def find_blocks(module: nn.Module, listed: bool = False) -> Iterator[nn.Module]:
    """The repeated parts of a model: what its lists of modules hold, without the layers that have their own rule."""
    for child in module.children():
        if _is_list(child):
            yield from find_blocks(child, listed=True)
        elif not listed:
            yield from find_blocks(child)
        elif gradient_rule(child) is None and any(True for _ in child.parameters()):
            yield child


def _is_list(module: nn.Module) -> bool:
    """Whether `module` only holds others that are called one by one: it has no `forward`, or nobody calls it."""
    has_forward = type(module).forward is not nn.Module.forward or "forward" in vars(module)
    return not has_forward or isinstance(module, TimestepEmbedSequential)


def _checkpointed_forward(block: nn.Module) -> Callable[..., Any]:
    forward = block.forward

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, shape = taken_apart((args, kwargs))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        tensors = [thawed(leaves[place]) for place in places]
        wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        if not wants_gradient or any(_hides_gradient(leaf) for leaf in leaves):
            return forward(*args, **kwargs)
        for place in places:
            leaves[place] = None
        call = BlockCall(forward, leaves, shape, places)
        outputs = Checkpoint.apply(call, *tensors)
        return put_together(outputs, call.output_shape)

    return checkpointed


def _hides_gradient(leaf: Any) -> bool:
    """Whether an object holds tensors that need a gradient, where `Checkpoint` would not find them."""
    inside = getattr(leaf, "__dict__", {}).values()
    return not isinstance(leaf, Tensor) and any(isinstance(v, Tensor) and v.requires_grad for v in inside)


@dataclass
class BlockCall:
    """A block and the arguments of one call, apart from the tensors among them."""

    forward: Callable[..., Any]
    leaves: list[Any]  # of (args, kwargs); None where a tensor was
    shape: Any
    places: list[int]  # of the tensors
    output_shape: Any = None  # known after a call

    def __call__(self, tensors: Sequence[Tensor]) -> list[Any]:
        """The leaves of what the block returns for copies of `tensors`."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor.clone()
        args, kwargs = put_together(leaves, self.shape)
        outputs, self.output_shape = taken_apart(self.forward(*args, **kwargs))
        return outputs


class Checkpoint(torch.autograd.Function):
    """The outputs of a block, whose insides are forgotten until the backward pass needs them."""

    @staticmethod
    def forward(ctx: Any, call: BlockCall, *tensors: Tensor) -> tuple[Any, ...]:
        """Run the block without a graph."""
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        # What follows may write into the outputs, which autograd forbids for views made in here.
        return tuple(y.clone() if isinstance(y, Tensor) and y._is_view() else y for y in call(tensors))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the block again, this time with a graph."""
        wanted = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            tensors = [t.detach().requires_grad_(want) for t, want in zip(ctx.saved_tensors, wanted, strict=True)]
            outputs = ctx.call(tensors)
        used = [(y, g) for y, g in zip(outputs, gradients, strict=True) if g is not None and y.requires_grad]
        if not used:
            return None, *(None for _ in tensors)
        leaves = [tensor for tensor in tensors if tensor.requires_grad]
        found = iter(torch.autograd.grad([y for y, _ in used], leaves, [g for _, g in used], allow_unused=True))
        return None, *(next(found) if want else None for want in wanted)

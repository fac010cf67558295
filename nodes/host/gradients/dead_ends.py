"""Where a gradient ends before it reaches the input: found, and said with the way out."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .layers import gradient_rule

# Parts of what autograd says when a model stands in its way, and of what we say below and in `input_gradient_layers`.
NO_GRADIENT = (
    "nference tensor",
    "does not require grad",
    "not have been used in the graph",
    "no autograd formula",
    "derivative for",
    "packed in an unknown way",
    "cut off",
    "LoRA hooks",
)


class NoGradientError(RuntimeError):
    """The message names what gives no gradient, the reason, and the setting that does without."""


@contextmanager
def complaints_with_a_way_out(culprit: str, way_out: str) -> Iterator[None]:
    """Inside, errors about missing gradients become one that a user can act on; the innermost `culprit` is named."""
    try:
        yield
    except NoGradientError:
        raise
    except RuntimeError as error:
        if not any(sign in str(error) for sign in NO_GRADIENT):
            raise
        raise NoGradientError(f"No gradient goes through {culprit} ({error}). {way_out}") from error


@contextmanager
def dead_ends_reported(root: nn.Module) -> Iterator[None]:
    """Inside, an unknown layer whose kernel has no gradient is an error, not a part that is missing in silence."""

    def report(module: nn.Module, args: tuple, output: Any) -> None:
        wanted = torch.is_grad_enabled() and any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        if wanted and is_cut_off(output):
            raise RuntimeError(f"its output is cut off from its input in a layer of type {type(module).__name__}")

    with ExitStack() as stack:
        for module in root.modules():
            if (module._parameters or module._buffers) and gradient_rule(module) is None:
                stack.callback(module.register_forward_hook(report).remove)
        yield


def is_cut_off(output: Any) -> bool:
    """Whether there are numbers in `output`, and none of them leads back to an input."""
    results = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return bool(results) and not any(result.requires_grad for result in results)

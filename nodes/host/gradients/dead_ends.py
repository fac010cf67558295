"""Finds layers that cut a gradient off before it reaches the input, and errors that say which setting does without."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .layers import gradient_rule
from .nested import taken_apart

# Parts of the messages of autograd when it cannot differentiate a model, and of our own below and in `layers`.
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
    """Inside, an error about a missing gradient names `culprit` and `way_out`; of several culprits the innermost."""
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
    """Inside, it is an error if an unknown layer has no gradient; otherwise its part would be missing in silence."""

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
    """Whether `output` holds floating-point tensors, and autograd knows none of them."""
    leaves, _ = taken_apart(output)
    results = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return bool(results) and not any(result.requires_grad for result in results)

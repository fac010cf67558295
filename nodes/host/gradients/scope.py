"""Where gradients of the host's networks are possible: one place for what that takes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import comfy.model_management
import torch
from torch import nn

from ..replaced import replaced
from .checkpointing import checkpointed_blocks
from .dead_ends import dead_ends_reported
from .inference_tensors import thawed_weights
from .layers import input_gradient_layers


@contextmanager
def gradient_scope() -> Iterator[None]:
    """Inside, autograd is on, whatever mode ComfyUI runs its nodes in."""
    # The fused kernels for rotary embeddings and norms have no gradient: the host avoids them when it trains.
    training = replaced([(vars(comfy.model_management), "in_training", True)])
    with torch.inference_mode(False), torch.enable_grad(), training:
        yield


@contextmanager
def differentiable(models: Sequence[nn.Module], checkpoint: bool) -> Iterator[None]:
    """Inside, a gradient passes through the models to their input. Enter a `gradient_scope` before.

    With `checkpoint`, the blocks of the models are computed twice and their insides are not kept in between.
    """
    # One change to all models after the other; the last must be the layers, since a changed layer is none anymore.
    changes = [thawed_weights, dead_ends_reported, checkpointed_blocks, input_gradient_layers]
    if not checkpoint:
        changes.remove(checkpointed_blocks)
    with ExitStack() as stack:
        for change in changes:
            for model in models:
                stack.enter_context(change(model))
        yield

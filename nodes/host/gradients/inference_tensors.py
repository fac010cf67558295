"""Ordinary tensors in place of the inference tensors that autograd refuses.

ComfyUI runs nodes in `torch.inference_mode()`. A tensor made there can never be saved for a backward pass, nor be
written to outside of that mode; a copy that is made outside can.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from comfy.conds import CONDRegular
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn

from ..replaced import replaced
from .layers import gradient_rule
from .nested import changed


def thawed(value: Any) -> Any:
    """`value` with copies of the inference tensors in it. Call it outside of inference mode.

    Looks into dicts, lists, tuples and the host's `model_conds`; other objects are passed on as they are.
    """
    return changed(value, _thawed_leaf)


def _thawed_leaf(leaf: Any) -> Any:
    if isinstance(leaf, CONDRegular):
        return leaf._copy_with(thawed(leaf.cond))
    return leaf.clone() if isinstance(leaf, Tensor) and leaf.is_inference() else leaf


@contextmanager
def thawed_weights(root: nn.Module) -> Iterator[None]:
    """Inside, autograd may save the parameters and buffers of `root` and wants no gradient for them.

    Only those outside of the layers that fetch their weight anew (`input_gradient_layers`), so the copies are small.
    """
    with replaced(_thawed_entries(root)):
        yield


def _thawed_entries(root: nn.Module) -> Iterator[tuple[MutableMapping[str, Any], str, Tensor]]:
    for module in root.modules():
        if gradient_rule(module) or isinstance(module, nn.Embedding):  # indices need no gradient, nor then the table
            continue
        for mapping in (module._parameters, module._buffers, vars(module)):
            for name, value in list(mapping.items()):
                # Packs that invent a tensor class know how to read it, but not always how to copy it.
                is_known = type(value) in (Tensor, nn.Parameter) or isinstance(value, QuantizedTensor)
                if value is None or not is_known:
                    continue
                if value.is_inference() or value.requires_grad:
                    copy = thawed(value.detach())
                    yield mapping, name, nn.Parameter(copy, False) if mapping is module._parameters else copy

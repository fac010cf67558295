"""Layers that pass the gradient on to their input and keep no weight for it.

Autograd would save the weights for the backward pass. It cannot: they are inference tensors (ComfyUI runs nodes in
inference mode), or quantized, or streamed through buffers that hold another layer's weight by then. So autograd gets
to see only the layer's input and output, and the backward pass fetches the weight a second time, as the forward pass
did: through the host's own cast, which moves it to the device, dequantizes it and applies LoRA patches.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.ops
import torch
from comfy.ldm.wan.vae import CausalConv3d
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn
from torch.nn import functional, grad
from torch.utils._python_dispatch import _disable_current_modes

from ..replaced import replaced

# Where a `forward` is written that computes what the kind of layer says. A subclass with its own may do more.
PLAIN_FORWARDS = ("torch.nn.modules.", "comfy.ops", "comfy.controlnet")

CONVOLUTION_GRADIENTS = {3: grad.conv1d_input, 4: grad.conv2d_input, 5: grad.conv3d_input}

# A bias adds nothing to a gradient.
NORMS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], Tensor]] = {
    nn.GroupNorm: lambda norm, x, weight: functional.group_norm(x, norm.num_groups, weight, eps=norm.eps),
    nn.LayerNorm: lambda norm, x, weight: functional.layer_norm(x, norm.normalized_shape, weight, eps=norm.eps),
    nn.RMSNorm: lambda norm, x, weight: functional.rms_norm(x, norm.normalized_shape, weight, eps=norm.eps),
}

# (layer, x, weight, gradient of the output) -> gradient of x
Rule = Callable[[Any, Tensor, Tensor, Tensor], Tensor]


@contextmanager
def input_gradient_layers(root: nn.Module) -> Iterator[None]:
    """Inside, the known layers of `root` give the gradient of their input, and want none for themselves."""
    rules = [(module, rule) for module in root.modules() if (rule := gradient_rule(module))]
    with replaced((vars(layer), "forward", _differentiable_forward(layer, rule)) for layer, rule in rules):
        yield


def gradient_rule(layer: nn.Module) -> Rule | None:
    """How to get the gradient of the input of `layer` from its weight; None if this file does not know.

    Kinds are told by name as well: the host's layers for mixed precision and for Control-LoRA inherit from no torch
    layer.
    """
    has_own_forward = "forward" in vars(layer)  # e.g. a LoRA in bypass mode, which adds to the layer's output
    if type(layer) is CausalConv3d:  # nearly all of the VAE of Wan and Qwen-Image
        return None if has_own_forward else _causal_convolution_gradient
    is_plain = type(layer).forward.__module__.startswith(PLAIN_FORWARDS) and not has_own_forward
    if not is_plain or not isinstance(getattr(layer, "weight", None), Tensor):
        return None
    if isinstance(layer, nn.Linear) or type(layer).__name__ == "Linear":
        return _linear_gradient
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or type(layer).__name__ == "Conv2d":
        # Seamless-tiling packs set another padding, or put a `_conv_forward` on the layer.
        pads_with_zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return _convolution_gradient if pads_with_zeros and "_conv_forward" not in vars(layer) else None
    return _norm_gradient if isinstance(layer, tuple(NORMS)) else None


def _differentiable_forward(layer: nn.Module, rule: Rule) -> Callable[..., Tensor]:
    forward = layer.forward

    def differentiable(*args: Any, **kwargs: Any) -> Tensor:
        if len(args) == 1 and not kwargs:
            return InputGradient.apply(args[0], layer, forward, rule)
        return forward(*args, **kwargs)  # options that few layers have are left to autograd

    return differentiable


class InputGradient(torch.autograd.Function):
    """y = layer(x), differentiable with respect to x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module, forward: Callable[[Tensor], Tensor], rule: Rule) -> Tensor:
        """Run the layer without a graph."""
        ctx.layer, ctx.rule = layer, rule
        if rule is _norm_gradient:
            ctx.save_for_backward(x)
        else:  # linear in x: only the shape matters
            ctx.x = torch.empty_like(x, device="meta")
        with as_the_host_runs_it():
            y = forward(x.detach())
        # The same memory as an ordinary tensor that is no view, because models add to it in place.
        return torch.empty(0, dtype=y.dtype, device=y.device).set_(
            y.untyped_storage(), y.storage_offset(), y.size(), y.stride()
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Fetch the weight again and multiply with the transposed Jacobian."""
        x = ctx.saved_tensors[0] if ctx.rule is _norm_gradient else ctx.x
        with _fetched_weight(ctx.layer, gradient) as weight:
            return ctx.rule(ctx.layer, x, weight, gradient).to(x.dtype), None, None, None


def _linear_gradient(layer: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    result = gradient @ weight
    scale = getattr(layer, "pre_quant_scale", None)  # of the input, in AWQ-style checkpoints
    return result if scale is None else result * scale.to(result)


def _convolution_gradient(layer: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    input_gradient = CONVOLUTION_GRADIENTS[weight.ndim]
    return input_gradient(x.shape, weight, gradient, layer.stride, layer.padding, layer.dilation, layer.groups)


def _causal_convolution_gradient(layer: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """Zeros stand before the first frame, so a single frame only meets the last part of the kernel."""
    early = layer._padding
    if x.shape[2] == 1:
        early, weight = 0, weight[:, :, -1:]
    padded = torch.empty(*x.shape[:2], early + x.shape[2], *x.shape[3:], device="meta")
    return _convolution_gradient(layer, padded, weight, gradient)[:, :, early:]


def _norm_gradient(layer: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    norm = next(norm for kind, norm in NORMS.items() if isinstance(layer, kind))
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = norm(layer, x, weight.clone())  # autograd saves the weight, so not as an inference tensor
    return torch.autograd.grad(y, x, gradient)[0]


@contextmanager
def _fetched_weight(layer: Any, like: Tensor) -> Iterator[Tensor]:
    """The weight that `layer` multiplies with: on the device of `like`, in its dtype, dequantized, LoRA applied."""
    borrowed = None
    with as_the_host_runs_it():
        if hasattr(layer, "cast_bias_weight"):  # the layers of GGUF packs decode their weights themselves
            weight = layer.cast_bias_weight(like)[0]
        elif hasattr(layer, "weight_function"):
            weight, *_ = borrowed = comfy.ops.cast_bias_weight(layer, like, offloadable=True)
        else:
            weight = layer.weight
        if isinstance(weight, QuantizedTensor):
            weight = weight.dequantize()
        weight = _checked(layer, weight).to(like)
        if getattr(layer, "up", None) is not None:  # Control-LoRA
            weight = weight + (layer.up.flatten(1) @ layer.down.flatten(1)).reshape(weight.shape).to(like)
    try:
        yield weight
    finally:
        if borrowed:
            comfy.ops.uncast_bias_weight(layer, *borrowed)


@contextmanager
def as_the_host_runs_it() -> Iterator[None]:
    """In inference mode: weights are streamed through buffers that are inference tensors, and only it may write those.

    Without `allow_mutation_on_saved_tensors`, the mode that a watched pass runs in: it asks what is written to for a
    version counter, which inference tensors lack.
    """
    with _disable_current_modes(), torch.inference_mode():
        yield


def _checked(layer: Any, weight: Tensor) -> Tensor:
    """`weight`, unless it is packed in a way that is unknown here: a product with it would be nonsense."""
    shape = (layer.out_features, layer.in_features) if hasattr(layer, "in_features") else weight.shape
    if weight.is_floating_point() and weight.shape == shape:
        return weight
    raise RuntimeError(
        f"The weight of a {type(layer).__name__} layer is packed in an unknown way: "
        f"{weight.dtype}, {tuple(weight.shape)} instead of {tuple(shape)}."
    )

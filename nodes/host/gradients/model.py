"""Predictions of the host's models that can be differentiated, without leaving a trace in the models."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import comfy.hooks
import comfy.model_management
import torch
from comfy.controlnet import ControlBase
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, add_wrapper
from comfy.samplers import CFGGuider
from torch import Tensor, nn

from ..replaced import replaced
from .dead_ends import complaints_with_a_way_out, is_cut_off
from .inference_tensors import thawed
from .nested import changed
from .scope import differentiable, gradient_scope


@contextmanager
def input_gradients(guider: CFGGuider, model_options: dict, checkpoint: bool) -> Iterator[dict]:
    """Inside, predictions of `guider` are differentiable with respect to their input x, and to nothing else.

    Yields the model_options to predict with. x and the timestep must be ordinary tensors (see `thawed`), and the
    backward pass must run inside too, since weights are fetched for it once more. `Backpropagation` runs passes of
    models that write into what autograd has saved. With `checkpoint`, the model's blocks are computed twice and their
    insides are not kept in between: slower, for a fraction of the memory. Everything is as it was afterwards, also
    after an exception or an interrupt.
    """
    with ExitStack() as stack:
        stack.enter_context(
            complaints_with_a_way_out("this model", 'Choose guidance "projected" or "direct", which needs none.')
        )
        _refuse_lora_hooks(guider)
        stack.enter_context(gradient_scope())
        controls = _controls(guider)
        stack.enter_context(replaced((vars(c), name, thawed(v)) for c in controls for name, v in list(vars(c).items())))
        stack.enter_context(replaced([(vars(guider), "conds", thawed(guider.conds))]))
        stack.enter_context(differentiable(_models(guider, controls), checkpoint))
        for network in _networks(controls):
            stack.callback(network.register_forward_hook(_without_views).remove)
        yield _differentiable_options(model_options)


def _refuse_lora_hooks(guider: CFGGuider) -> None:
    """Hooks write a LoRA into the weights for one prompt after the other: the backward pass would meet the last."""
    for cond in (cond for conds in guider.conds.values() for cond in conds):
        hooks = cond.get("hooks")
        if hooks is not None and hooks.get_type(comfy.hooks.EnumHookType.Weight):
            raise RuntimeError("A prompt has LoRA hooks, which exchange the model's weights between prompts")


def _controls(guider: CFGGuider) -> list[ControlBase]:
    controls = {}
    for cond in (cond for conds in guider.conds.values() for cond in conds):
        control = cond.get("control")
        while control is not None:
            controls[id(control)] = control
            control = control.previous_controlnet
    return list(controls.values())


def _models(guider: CFGGuider, controls: list[ControlBase]) -> list[nn.Module]:
    """The diffusion model and what runs along with it: ControlNets, and models in patches (e.g. DiffSynth's)."""
    patches = [patcher.model for patcher in guider.model_patcher.model_patches_models()]
    patches = [model for model in patches if isinstance(model, nn.Module)]
    return list(dict.fromkeys((guider.inner_model, *_networks(controls), *patches)))


def _networks(controls: list[ControlBase]) -> list[nn.Module]:
    attached = [value for control in controls for value in vars(control).values()]
    return list(dict.fromkeys(value for value in attached if isinstance(value, nn.Module)))


def _without_views(_network: nn.Module, _args: tuple, output: Any) -> Any:
    """The host multiplies what a ControlNet says by its strength in place, which autograd forbids for one of several
    views of a tensor (Qwen-Image Fun's)."""
    return changed(output, lambda leaf: leaf.clone() if isinstance(leaf, Tensor) and leaf._is_view() else leaf)


def _differentiable_options(model_options: dict) -> dict:
    options = thawed(model_options)
    options.pop("multigpu_clones", None)  # they run without gradients
    transformer_options = options.setdefault("transformer_options", {})
    transformer_options["optimized_attention_override"] = _differentiable_attention
    # A compiled model would be compiled once more, for minutes: its layers have other forwards now.
    transformer_options.get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {}).pop("torch.compile", None)
    add_wrapper(WrappersMP.APPLY_MODEL, _require_gradient, transformer_options)
    return options


def _require_gradient(executor: WrapperExecutor, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Refuse a model that runs without gradients, or is not run at all because a pack caches what it said last.

    The prediction alone would not tell: it contains x as it is.
    """
    model, outputs = executor.class_obj.diffusion_model, []
    if not isinstance(model, nn.Module):
        raise RuntimeError(f"its output is cut off from its input, since {type(model).__name__} is no torch module")
    hook = model.register_forward_hook(lambda _model, _args, output: outputs.append(output))
    try:
        denoised = executor(x, *args, **kwargs)
    finally:
        hook.remove()
    if torch.is_grad_enabled() and x.requires_grad and (not outputs or is_cut_off(outputs)):
        raise RuntimeError("its output is cut off from its input")
    return denoised


def _differentiable_attention(_attention: Any, *args: Any, **kwargs: Any) -> Tensor:
    """In place of flash, sage or int8 attention, some of which cut the gradient off without a word."""
    return attention_pytorch(*args, **kwargs)

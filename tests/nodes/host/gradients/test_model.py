"""Gradients of the host's models with respect to their input, and that nothing of the pass is left in the models.

Everything is built and run in inference mode, as ComfyUI does it: the weights are inference tensors.
"""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.samplers
import pytest
import tiny_control_nets
import tiny_models
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP
from joint_diffusion.nodes.host.gradients.half_precision import evenly_scaled
from joint_diffusion.nodes.host.gradients.inference_tensors import thawed
from joint_diffusion.nodes.host.gradients.model import input_gradients
from joint_diffusion.nodes.host.gradients.nested import taken_apart
from joint_diffusion.nodes.host.gradients.saved_tensors import Backpropagation, saved_tensors_survive_writes
from torch import Tensor, nn

LATENTS = {
    "sd15": (4, 16, 16),
    "sdxl": (4, 16, 16),
    "flux": (16, 8, 8),
    "qwen_image": (16, 1, 8, 8),
    "chroma_radiance": (3, 32, 32),
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass
class Case:
    """A model and a prediction of it. `change` is done to the new model; `options` go to both prompts."""

    kind: str = "sd15"
    change: Callable[[ModelPatcher], Any] = lambda patcher: None
    options: Callable[[], dict] = dict
    batch: int = 2
    cfg: float = 3.0
    dtype: torch.dtype = torch.float32
    step: float = 1e-2  # of finite differences

    def predict(self, wrapper: Callable) -> Any:
        """What `wrapper(executor, x, timestep, model_options, seed)` makes of the one prediction of a sampler."""
        results = []

        def wrapped(executor, x, timestep, model_options, seed):
            results.append(wrapper(executor, x, timestep, model_options, seed))
            return x

        def evaluate_once(model, noise, sigmas, extra_args=None, **_):
            x = randn(*noise.shape, seed=1)
            return model(x, sigmas[0].expand(len(x)).clone(), **extra_args)

        patcher = getattr(tiny_models, self.kind)(dtype=self.dtype)
        if self.kind in ("sd15", "sdxl"):  # else a thousandth of the prediction is the network's, the rest is x
            patcher.model.diffusion_model.out[-1].weight.mul_(30)
        self.change(patcher)
        patcher.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "test", wrapped)
        pooled = {"sdxl": {"pooled_output": torch.zeros(1, 1280)}, "flux": {"pooled_output": torch.zeros(1, 32)}}
        options = {**pooled.get(self.kind, {}), **self.options()}
        guider = comfy.samplers.CFGGuider(patcher)
        guider.set_conds(tiny_models.prompt(2, **options), tiny_models.prompt(3, **options))
        guider.set_cfg(self.cfg)
        latent = torch.zeros(self.batch, *LATENTS[self.kind])
        sampler = comfy.samplers.KSAMPLER(evaluate_once)
        guider.sample(latent, latent, sampler, torch.tensor([0.8, 0.0]), disable_pbar=True, seed=0)
        return results[0]

    def gradient(self, checkpoint: bool = True, weight: float = 1.0) -> Tensor:
        """Of `weight * score`, as the pack gets it."""

        def wrapper(executor, x, timestep, model_options, seed):
            def passes():
                with input_gradients(executor.class_obj, model_options, checkpoint) as options:
                    leaf, ordinary = x.clone().requires_grad_(), thawed(timestep)
                    denoised = evenly_scaled(lambda x: executor(x, ordinary, options, seed), leaf)
                    return torch.autograd.grad(weight * score(leaf, denoised), leaf)[0]

            return Backpropagation()(passes)

        with torch.inference_mode():
            return self.predict(wrapper)

    def gradient_of_ordinary_tensors(self) -> Tensor:
        """The same without the pack: nothing was ever in inference mode, and autograd saves what it likes."""

        def wrapper(executor, x, timestep, model_options, seed):
            leaf = x.clone().requires_grad_()
            with saved_tensors_survive_writes(), training():
                return torch.autograd.grad(score(leaf, executor(leaf, timestep, model_options, seed)), leaf)[0]

        return self.predict(wrapper)

    def slope(self, direction: Tensor) -> float:
        """The derivative of `score` along `direction`, by central differences."""
        step = self.step

        def wrapper(executor, x, timestep, model_options, seed):
            ahead, behind = x + step * direction, x - step * direction
            rise = score(ahead, executor(ahead, timestep, model_options, seed))
            return (rise - score(behind, executor(behind, timestep, model_options, seed))) / (2 * step)

        with torch.inference_mode():
            return self.predict(wrapper).item()


def score(x: Tensor, denoised: Tensor) -> Tensor:
    """Some scalar of what the model changes: x itself is most of the prediction of a random model."""
    return (randn(*x.shape, seed=5) * (denoised.double() - x.double())).sum()


@contextmanager
def training() -> Iterator[None]:
    comfy.model_management.in_training = True
    try:
        yield
    finally:
        comfy.model_management.in_training = False


def control() -> dict:
    net = tiny_models.control_net().set_cond_hint(randn(1, 3, 128, 128, seed=4), 20.0)
    return {"control": net, "control_apply_to_uncond": True}


def control_in_views() -> dict:
    """Its network hands out parts of one tensor, which the host then multiplies by the strength in place."""
    net = tiny_control_nets.qwen_fun()
    net.set_cond_hint(randn(1, 3, 64, 64, seed=4), 4.0, vae=tiny_control_nets.VideoVAE())
    return {"control": net, "control_apply_to_uncond": True}


def layers(patcher: ModelPatcher, kind: type[nn.Module]) -> Iterator[nn.Module]:
    return (module for module in patcher.model.diffusion_model.modules() if isinstance(module, kind))


def cast_from(dtype: torch.dtype, kind: type[nn.Module]) -> Callable[[ModelPatcher], None]:
    def change(patcher: ModelPatcher) -> None:
        for layer in layers(patcher, kind):
            layer.to(dtype).comfy_cast_weights = True

    return change


def merged_lora(patcher: ModelPatcher) -> None:
    weights = {name: value for name, value in patcher.model.state_dict().items() if name.endswith("to_q.weight")}
    patches = {name: ("diff", (randn(*value.shape, seed=7),)) for name, value in weights.items()}
    assert patcher.add_patches(patches)


def streamed_lora(patcher: ModelPatcher) -> None:
    """As the host streams weights: all through one buffer, which is an inference tensor; a LoRA is added on the way."""

    def attach(patcher: ModelPatcher) -> None:
        buffer = torch.empty(max(layer.weight.numel() for layer in layers(patcher, nn.Linear)))

        def streamed(weight: Tensor) -> Tensor:
            return buffer[: weight.numel()].view(weight.shape).copy_(weight).mul_(1.5).add_(0.01)

        for layer in layers(patcher, nn.Linear):
            layer.weight_function = [streamed]

    patcher.add_callback(CallbacksMP.ON_PRE_RUN, attach)  # loading the model forgets older functions


def bypass_lora(patcher: ModelPatcher) -> None:
    for layer in layers(patcher, nn.Linear):
        layer.forward = lambda x, forward=layer.forward: forward(x) + 0.5 * forward(x).tanh()


def seamless(patcher: ModelPatcher) -> None:
    for layer in layers(patcher, nn.Conv2d):
        layer.padding_mode = "circular"


def wrapped_blocks(patcher: ModelPatcher) -> None:
    for block in layers(patcher, SpatialTransformer):
        block.forward = lambda *args, forward=block.forward: 2 * forward(*args)


def quantized(full_precision: bool) -> Callable[[ModelPatcher], None]:
    """Linear layers as in the host's fp8 checkpoints."""
    ops = comfy.ops.mixed_precision_ops(compute_dtype=torch.float32, full_precision_mm=full_precision)

    def change(patcher: ModelPatcher) -> None:
        for module in list(patcher.model.diffusion_model.modules()):
            for name, layer in module.named_children():
                if isinstance(layer, nn.Linear):
                    setattr(module, name, fp8_linear(ops, layer))

    return change


def fp8_linear(ops: Any, layer: nn.Linear) -> nn.Module:
    quantized = ops.Linear(layer.in_features, layer.out_features, layer.bias is not None, torch.device("cpu"))
    scale = layer.weight.abs().max() / 448
    state = {
        "weight": (layer.weight / scale).to(torch.float8_e4m3fn),
        "weight_scale": scale,
        "comfy_quant": torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8),
    }
    quantized.load_state_dict(state | ({} if layer.bias is None else {"bias": layer.bias}))
    return quantized


CASES = {
    **{kind: Case(kind) for kind in LATENTS},
    "chroma_radiance": Case("chroma_radiance", step=2.5e-3),  # bends more
    "one prompt": Case(cfg=1.0),
    "controlnet": Case(options=control),
    "controlnet, views": Case("qwen_image", options=control_in_views),
    "bf16 weights": Case(change=cast_from(torch.bfloat16, (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm))),
    "fp16 weights": Case(change=cast_from(torch.float16, (nn.Linear, nn.Conv2d))),
    "fp8 weights": Case(change=cast_from(torch.float8_e4m3fn, nn.Linear)),
    "fp8 checkpoint": Case(change=quantized(full_precision=True)),
    "merged LoRA": Case(change=merged_lora),
    "streamed LoRA": Case("flux", change=streamed_lora),
    "bypass LoRA": Case(change=bypass_lora),
    "seamless": Case(change=seamless),
    "wrapped blocks": Case(change=wrapped_blocks),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_agrees_with_finite_differences(name: str):
    gradient = CASES[name].gradient()
    direction = randn(*gradient.shape, seed=6)
    assert (gradient * direction).sum().item() == pytest.approx(CASES[name].slope(direction), rel=5e-4)


@pytest.mark.parametrize("name", [*LATENTS, "controlnet", "merged LoRA", "seamless"])
def test_gradient_is_that_of_ordinary_tensors(name: str):
    expected = CASES[name].gradient_of_ordinary_tensors()
    assert relative_error(CASES[name].gradient(), expected) < 3e-6


@pytest.mark.parametrize("name", [*LATENTS, "controlnet", "controlnet, views", "streamed LoRA", "wrapped blocks"])
def test_checkpoint_does_not_change_the_gradient(name: str):
    assert relative_error(CASES[name].gradient(checkpoint=True), CASES[name].gradient(checkpoint=False)) < 3e-6


def test_small_gradients_survive_half_precision():
    half = Case(dtype=torch.float16)
    expected = Case().gradient()
    assert relative_error(half.gradient(), expected) < 1e-2
    assert relative_error(half.gradient(weight=1e-8) * 1e8, expected) < 1e-2


def relative_error(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).norm() / expected.norm()).item()


def test_a_row_that_nothing_depends_on_has_no_gradient():
    x = torch.ones(2, 3, requires_grad=True)
    (2 * evenly_scaled(lambda x: x * 1, x)[1]).sum().backward()
    assert x.grad.tolist() == [[0.0] * 3, [2.0] * 3]


def test_a_new_tensor_is_not_taken_for_an_overwritten_one_at_its_address():
    """Thirty times: save, overwrite, let go. torch alone hands out copies of former tensors at the same address."""
    x, total, expected = torch.ones(64, 64, requires_grad=True), 0.0, 0.0
    with saved_tensors_survive_writes():
        for factor in range(1, 31):
            saved = x * factor
            total = total + (saved * saved).sum()
            saved.mul_(3)
            total = total + saved.sum()
            del saved
            expected += 2 * factor**2 + 3 * factor
        (gradient,) = torch.autograd.grad(total, x)
    torch.testing.assert_close(gradient, torch.full_like(x, expected))


@pytest.mark.parametrize(("overwrites", "calls"), [(False, [False, False]), (True, [False, True, True])])
def test_a_pass_is_watched_only_once_autograd_has_refused_one(overwrites: bool, calls: list[bool]):
    x, seen, backpropagation = torch.full((3,), 2.0, requires_grad=True), [], Backpropagation()

    def passes() -> Tensor:
        seen.append(torch.autograd.graph._allow_mutation_on_saved_tensors_enabled)
        y = x * 1
        z = (y * y).sum()
        if overwrites:
            y.zero_()
        return torch.autograd.grad(z, x)[0]

    for _ in range(2):
        assert backpropagation(passes).tolist() == [4.0, 4.0, 4.0]
    assert seen == calls


class _Known(torch.autograd.Function):
    """Holds a thing for as long as its graph lives, as layers are held."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, thing: Any) -> Tensor:
        ctx.thing = thing
        return x * 1

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Layer:
    pass


@pytest.mark.parametrize("interrupts", [False, True])
def test_nothing_stays_of_a_pass_that_did_not_come_to_its_end(interrupts: bool):
    layers, x = [], torch.ones(3, requires_grad=True)

    def passes() -> Tensor:
        layer = _Layer()
        layers.append(weakref.ref(layer))
        y = _Known.apply(x, layer)
        y += y.square()  # as transformers do: what is saved is written to, and then comes from what saved it
        if interrupts:
            raise Interrupted
        return torch.autograd.grad(y.sum(), x)[0]

    with pytest.raises(Interrupted) if interrupts else nullcontext():
        assert Backpropagation()(passes).tolist() == [3.0, 3.0, 3.0]
    gc.collect()
    assert len(layers) == (1 if interrupts else 2)
    assert [layer for layer in layers if layer() is not None] == []


def test_other_errors_of_a_pass_are_not_tried_again():
    seen = []

    def passes() -> None:
        seen.append(1)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Backpropagation()(passes)
    assert len(seen) == 1


class Interrupted(Exception):
    pass


def fails(patcher: ModelPatcher) -> None:
    """In the middle of the forward pass."""

    def fail(*_):
        raise Interrupted

    patcher.set_model_attn1_patch(fail)


def fails_in_backward(patcher: ModelPatcher) -> None:
    """While a block is computed for the second time, which is when it has a graph."""

    def fail(q, k, v, extra_options):
        if torch.is_grad_enabled():
            raise Interrupted
        return q, k, v

    patcher.set_model_attn1_patch(fail)


def interrupted(patcher: ModelPatcher) -> None:
    patcher.add_callback(CallbacksMP.ON_PRE_RUN, lambda _: comfy.model_management.interrupt_current_processing())


def trainable(patcher: ModelPatcher) -> None:
    wrapped_blocks(patcher)
    patcher.model.requires_grad_(True)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (trainable, None),
        (fails, Interrupted),
        (fails_in_backward, Interrupted),
        (interrupted, comfy.model_management.InterruptProcessingException),
    ],
)
def test_nothing_is_left_behind(change, error):
    def wrapper(executor, x, timestep, model_options, seed):
        guider = executor.class_obj
        before = traces(guider, model_options)
        with pytest.raises(error) if error else nullcontext(), saved_tensors_survive_writes():  # noqa: SIM117
            with input_gradients(guider, model_options, checkpoint=True) as options:
                leaf = x.clone().requires_grad_()
                torch.autograd.grad(score(leaf, executor(leaf, thawed(timestep), options, seed)), leaf)
        after = traces(guider, model_options)
        assert [name for name in before | after if before.get(name) != after.get(name)] == []

    with torch.inference_mode():
        Case(change=change, options=control).predict(wrapper)


def traces(guider: comfy.samplers.CFGGuider, model_options: dict) -> dict[str, Any]:
    """Everything that the pass touches, in a form that can be compared."""
    net = guider.conds["positive"][0]["control"]
    found: dict[str, Any] = {
        "modes": (comfy.model_management.in_training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "conds": (id(guider.conds), [id(leaf) for leaf in taken_apart(guider.conds)[0]]),
        "model_options": [id(leaf) for leaf in taken_apart(model_options)[0]],
        "control": {name: id(value) for name, value in vars(net).items()},
    }
    for root in (guider.inner_model, net.control_model):
        for path, module in root.named_modules(prefix=type(root).__name__):
            attributes = {name: id(value) for name, value in vars(module).items()}
            found[path] = attributes, len(module._forward_hooks)
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                if value is not None:
                    content = hash(value.detach().numpy().tobytes())
                    found[f"{path}.{name}"] = id(value), value.requires_grad, value.is_inference(), content
    return found


@pytest.mark.parametrize("kind", LATENTS)
def test_checkpoint_saves_memory(kind: str):
    assert saved_bytes(Case(kind), checkpoint=True) < 0.3 * saved_bytes(Case(kind), checkpoint=False)


def saved_bytes(case: Case, checkpoint: bool) -> int:
    """What is kept for the backward pass, counting memory that several tensors share once."""

    def wrapper(executor, x, timestep, model_options, seed):
        saved = {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.device.type != "meta":
                saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with input_gradients(executor.class_obj, model_options, checkpoint) as options:
            leaf = x.clone().requires_grad_()
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                denoised = executor(leaf, thawed(timestep), options, seed)
            assert denoised.requires_grad
            return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())

    with torch.inference_mode():
        return case.predict(wrapper)


def detached(patcher: ModelPatcher) -> None:
    patcher.add_wrapper(WrappersMP.DIFFUSION_MODEL, lambda executor, x, *args, **kw: executor(x.detach(), *args, **kw))


class Opaque(nn.Module):
    """A layer of another pack, whose kernel autograd does not know."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.weight = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return (x.detach() @ self.weight.T).detach()


def opaque(patcher: ModelPatcher) -> None:
    for block in layers(patcher, BasicTransformerBlock):
        block.attn1.to_q = Opaque(block.attn1.to_q)


def packed(patcher: ModelPatcher) -> None:
    for layer in layers(patcher, nn.Linear):
        if layer.in_features == layer.out_features:
            layer.cast_bias_weight = lambda like: (torch.zeros(3, dtype=torch.uint8), None)


def lora_hook() -> dict:
    return {"hooks": comfy.hooks.create_hook_lora({}, strength_model=1.0, strength_clip=1.0)}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case(change=opaque), "in a layer of type Opaque"),
        (Case(change=detached), "its output is cut off from its input"),
        (Case(change=packed), r"of a Linear layer is packed in an unknown way: torch.uint8, \(3,\) instead of"),
        (Case(options=lora_hook), "A prompt has LoRA hooks"),
    ],
)
def test_what_gives_no_gradient_is_refused_with_a_way_out(case: Case, reason: str):
    with pytest.raises(RuntimeError, match=rf'No gradient .*{reason}.*Choose guidance "projected" or "direct"'):
        case.gradient()

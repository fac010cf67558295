"""Each kind of layer against autograd in float64, which tells a wrong padding or stride from rounding."""

import comfy.ops
import pytest
import torch
from comfy.controlnet import ControlLoraOps
from comfy.ldm.wan.vae import CausalConv3d
from joint_diffusion.nodes.host.gradients.layers import gradient_rule, input_gradient_layers
from torch import Tensor, nn
from torch.nn import functional


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(layer: nn.Module) -> nn.Module:
    layer.to(torch.float64).requires_grad_(False)
    for seed, parameter in enumerate(layer.parameters()):
        parameter.copy_(randn(*parameter.shape, seed=seed))
    return layer


def input_gradient(layer: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    y = layer(x)
    return torch.autograd.grad((y * randn(*y.shape, seed=9)).sum(), x)[0]


def input_gradient_of_ours(layer: nn.Module, x: Tensor) -> Tensor:
    """With weights that autograd would refuse."""
    with torch.inference_mode():
        for name, parameter in list(layer.named_parameters()):
            setattr(layer, name, nn.Parameter(parameter.clone(), requires_grad=False))
    with input_gradient_layers(layer):
        return input_gradient(layer, x)


LAYERS = {
    "Linear": (lambda ops: ops.Linear(6, 4), (2, 5, 6)),
    "Linear, one row": (lambda ops: ops.Linear(6, 4), (6,)),
    "Conv1d": (lambda ops: ops.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9)),
    "Conv2d": (lambda ops: ops.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7)),
    "Conv2d, odd stride": (lambda ops: ops.Conv2d(4, 6, (3, 2), stride=(3, 2), padding=(1, 0)), (2, 4, 8, 7)),
    "Conv2d, groups": (lambda ops: ops.Conv2d(4, 6, 3, dilation=2, groups=2), (2, 4, 9, 8)),
    "Conv3d": (lambda ops: ops.Conv3d(4, 6, 2, stride=(1, 2, 2)), (1, 4, 3, 5, 6)),
    "GroupNorm": (lambda ops: ops.GroupNorm(2, 4), (2, 4, 3, 5)),
    "LayerNorm": (lambda ops: ops.LayerNorm((5, 6)), (2, 5, 6)),
    "RMSNorm": (lambda ops: ops.RMSNorm(6, eps=0.1), (2, 5, 6)),
}


@pytest.mark.parametrize(
    "ops", [nn, comfy.ops.disable_weight_init, comfy.ops.manual_cast], ids=["torch", "host", "cast"]
)
@pytest.mark.parametrize("name", LAYERS)
def test_input_gradient_is_that_of_autograd(name: str, ops):
    build, shape = LAYERS[name]
    layer, x = filled(build(ops)), randn(*shape, seed=5)
    expected = input_gradient(layer, x)
    assert gradient_rule(layer) is not None
    torch.testing.assert_close(input_gradient_of_ours(layer, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_frames_before_the_first_are_zero(frames: int):
    """The convolutions of Wan's and Qwen-Image's VAE; a single frame takes a way of its own."""
    layer, x = filled(CausalConv3d(4, 6, 3, padding=1)), randn(2, 4, frames, 5, 7, seed=5)
    expected = input_gradient(layer, x)
    assert gradient_rule(layer) is not None
    torch.testing.assert_close(input_gradient_of_ours(layer, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ControlLoraOps.Linear(6, 4), (2, 6)),
        (ControlLoraOps.Conv2d(6, 4, 3, padding=1), (2, 6, 5, 7)),
    ],
    ids=["Linear", "Conv2d"],
)
def test_control_lora_is_part_of_the_weight(layer: nn.Module, shape: tuple[int, ...]):
    kernel = (3, 3) if len(shape) == 4 else ()
    layer.weight, layer.bias = nn.Parameter(randn(4, 6, *kernel), False), nn.Parameter(randn(4), False)
    layer.up, layer.down = nn.Parameter(randn(4, 2, seed=1), False), nn.Parameter(randn(2, 6, *kernel, seed=2), False)
    x = randn(*shape, seed=5)
    expected = input_gradient(layer, x)
    torch.testing.assert_close(input_gradient_of_ours(layer, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("quant_format", ["float8_e4m3fn", "int8_tensorwise"])
@pytest.mark.parametrize("pre_quant_scale", [None, torch.linspace(0.5, 2, 6)])
def test_quantized_linear_uses_the_weight_it_stands_for(quant_format: str, pre_quant_scale: Tensor | None):
    """The layer rounds its input, which has no gradient; the host's own training code passes over it likewise."""
    storage, largest = (torch.int8, 127) if quant_format == "int8_tensorwise" else (torch.float8_e4m3fn, 448)
    weight = randn(4, 6).float()
    scale = weight.abs().max() / largest
    with torch.inference_mode():
        layer = comfy.ops.mixed_precision_ops(compute_dtype=torch.float32).Linear(6, 4, False, torch.device("cpu"))
        stored = (weight / scale).round() if storage is torch.int8 else weight / scale
        about = torch.tensor(list(f'{{"format": "{quant_format}"}}'.encode()), dtype=torch.uint8)
        layer.load_state_dict({"weight": stored.to(storage), "weight_scale": scale, "comfy_quant": about})
        layer.pre_quant_scale = pre_quant_scale
    x = randn(3, 6, seed=5).float().requires_grad_()
    with input_gradient_layers(layer):
        (gradient,) = torch.autograd.grad((layer(x) * randn(3, 4, seed=9)).sum(), x)
    expected = randn(3, 4, seed=9).float() @ (stored.to(storage).float() * scale)
    torch.testing.assert_close(gradient, expected * (1 if pre_quant_scale is None else pre_quant_scale))


def test_no_weight_is_saved():
    layer = filled(nn.Linear(6, 4))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda _: None), input_gradient_layers(layer):
        layer(randn(2, 6).requires_grad_())
    assert not saved


def test_output_may_be_written_to():
    layer = filled(nn.Linear(6, 4))

    def doubled(x: Tensor) -> Tensor:
        y = layer(x)
        y *= 2
        return y

    x = randn(2, 6).requires_grad_()
    with input_gradient_layers(layer):
        (gradient,) = torch.autograd.grad(doubled(x).sum(), x)
    torch.testing.assert_close(gradient, (2 * layer.weight.sum(0)).expand(2, 6))


class Tanh(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


def circular(layer: nn.Conv2d) -> nn.Conv2d:
    layer._conv_forward = lambda x, weight, bias: functional.conv2d(x.roll(1, -1), weight, bias)
    return layer


def bypassed(layer: nn.Linear) -> nn.Linear:
    layer.forward = lambda x: functional.linear(x, layer.weight) ** 2
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        Tanh(6, 4),
        bypassed(nn.Linear(6, 4)),
        circular(nn.Conv2d(4, 6, 3)),
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.ConvTranspose2d(4, 6, 3),
        nn.Embedding(4, 6),
        nn.LayerNorm(6, elementwise_affine=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_computes_something_else_is_left_to_autograd(layer: nn.Module):
    assert gradient_rule(layer) is None

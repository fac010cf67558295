"""Gradients through VAEs with respect to latents, and that nothing of the pass is left in them.

Everything is built and run in inference mode, as ComfyUI does it: the weights are inference tensors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.sd
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from comfy.taesd.taesd import TAESD
from joint_diffusion.nodes.host.demo_model import LandscapeVAE
from joint_diffusion.nodes.host.gradients.inference_tensors import thawed
from joint_diffusion.nodes.host.gradients.model import input_gradients
from joint_diffusion.nodes.host.gradients.vae import decoder_gradients, load_along, views_at_once
from torch import Tensor, nn


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def taesd() -> comfy.sd.VAE:
    model = TAESD()
    weights = {name: randn(*value.shape, seed=i) * 0.03 for i, (name, value) in enumerate(model.state_dict().items())}
    scale = {"vae_scale": torch.tensor(0.8), "vae_shift": torch.tensor(0.1)}
    return comfy.sd.VAE(sd=weights | scale, dtype=torch.float32)


def pixel_space() -> comfy.sd.VAE:
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=torch.float32)


def half_precision(dtype: torch.dtype) -> comfy.sd.VAE:
    vae = tiny_models.vae()
    vae.vae_dtype = dtype
    vae.first_stage_model.to(dtype)
    return vae


# What builds the VAE, and the shape of its latents for two windows.
VAES: dict[str, tuple[Callable[[], comfy.sd.VAE], tuple[int, ...]]] = {
    "SD": (tiny_models.vae, (2, 4, 5, 6)),
    "SD, latents of a video model": (tiny_models.vae, (2, 4, 1, 5, 6)),
    "Wan and Qwen-Image": (tiny_models.video_vae, (2, 16, 1, 5, 6)),
    "bundled": (LandscapeVAE, (2, 8, 5, 6)),
    "TAESD": (taesd, (2, 4, 5, 6)),
    "pixel space": (pixel_space, (2, 3, 32, 33)),
}


def score(pixels: Tensor) -> Tensor:
    return (randn(*pixels.shape, seed=5) * pixels.double()).sum()


def gradient(vae: comfy.sd.VAE, latents: Tensor, checkpoint: bool = False, weight: float = 1.0) -> Tensor:
    with decoder_gradients(vae, checkpoint) as decode:
        leaf = latents.clone().requires_grad_()
        return torch.autograd.grad(weight * score(decode(leaf)), leaf)[0]


def pixels(vae: comfy.sd.VAE, latents: Tensor) -> Tensor:
    with decoder_gradients(vae) as decode:
        return decode(latents.clone())


def relative_error(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).norm() / expected.norm()).item()


@pytest.fixture(autouse=True)
def as_the_host_runs_nodes() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("name", VAES)
def test_pixels_are_those_of_the_host_but_for_the_cut(name: str):
    build, shape = VAES[name]
    vae, latents = build(), 2 * randn(*shape)
    expected = vae.decode(latents).movedim(-1, 1)
    expected = expected[:, :, 0] if expected.ndim == 5 else expected
    found = pixels(vae, latents)
    torch.testing.assert_close(found.clamp(0, 1), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", VAES)
def test_gradient_agrees_with_finite_differences(name: str):
    build, shape = VAES[name]
    vae, latents, step = build(), randn(*shape), 1e-3
    found = gradient(vae, latents)
    direction = randn(*shape, seed=6).abs() * found.sign()  # else ups and downs cancel, and rounding is what is left
    rise = score(pixels(vae, latents + step * direction)) - score(pixels(vae, latents - step * direction))
    assert (found * direction).sum().item() == pytest.approx(rise.item() / (2 * step), rel=2e-3)


@pytest.mark.parametrize("name", VAES)
def test_gradient_is_that_of_ordinary_tensors(name: str):
    """Without the pack: nothing was ever in inference mode, and autograd saves what it likes."""
    build, shape = VAES[name]
    found = gradient(build(), randn(*shape))
    with torch.inference_mode(False), torch.enable_grad():
        vae = build()
        leaf = randn(*shape).requires_grad_()
        latents = leaf[:, :, 0] if vae.latent_dim == 2 and leaf.ndim == 5 else leaf
        output = vae.first_stage_model.decode(latents)
        output = output[:, :, 0] if output.ndim == 5 else output
        slope = 1.0 if name == "bundled" else 0.5
        (expected,) = torch.autograd.grad(score(slope * output), leaf)
    assert relative_error(found, expected) < 3e-6


def test_white_can_become_less_white():
    vae, latents = pixel_space(), torch.full((1, 3, 32, 32), 1.5)
    assert pixels(vae, latents).min() == 1.25
    torch.testing.assert_close(gradient(vae, latents), score_slope(latents) / 2)


def score_slope(latents: Tensor) -> Tensor:
    return randn(*latents.shape, seed=5)


def test_a_curved_output_is_taken_as_it_is():
    """Not of the host's VAEs, but some pack's may end in a curve."""
    vae, latents = pixel_space(), randn(2, 3, 32, 32)
    vae.process_output = lambda image: image.sigmoid_()
    torch.testing.assert_close(pixels(vae, latents), latents.sigmoid())
    inner = latents.sigmoid() * (1 - latents.sigmoid())
    torch.testing.assert_close(gradient(vae, latents), score_slope(latents) * inner)


def stream(vae: comfy.sd.VAE) -> None:
    """As the host streams weights where memory is short: all through one buffer, which is an inference tensor."""
    layers = [layer for layer in vae.first_stage_model.modules() if hasattr(layer, "weight_function")]
    buffer = torch.empty(max(layer.weight.numel() for layer in layers))
    for layer in layers:
        layer.weight_function = [lambda weight: buffer[: weight.numel()].view(weight.shape).copy_(weight)]


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["SD", "Wan and Qwen-Image", "TAESD"])
def test_streamed_weights(name: str, checkpoint: bool):
    build, shape = VAES[name]
    latents, vae = randn(*shape), build()
    expected = gradient(vae, latents)
    stream(vae)
    assert relative_error(gradient(vae, latents, checkpoint), expected) < 3e-6


@pytest.mark.parametrize("name", ["SD", "Wan and Qwen-Image"])
def test_checkpoint_does_not_change_the_gradient(name: str):
    build, shape = VAES[name]
    assert relative_error(gradient(build(), randn(*shape), True), gradient(build(), randn(*shape))) < 3e-6


def test_checkpoint_saves_memory():
    assert saved_bytes(checkpoint=True) < 0.5 * saved_bytes(checkpoint=False)


def saved_bytes(checkpoint: bool) -> int:
    saved = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.device.type != "meta":
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with decoder_gradients(tiny_models.vae(), checkpoint) as decode:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            decode(randn(1, 4, 16, 16).requires_grad_())
        return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype: torch.dtype):
    latents = randn(2, 4, 5, 6)
    expected = gradient(tiny_models.vae(), latents)
    tolerance = {torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    assert relative_error(gradient(half_precision(dtype), latents), expected) < tolerance
    assert relative_error(gradient(half_precision(dtype), latents, weight=1e-9) * 1e9, expected) < tolerance


def sample_once(model: Any, wrapper: Callable) -> Any:
    """What `wrapper(executor, x, timestep, model_options, seed)` makes of the one prediction of a sampler."""
    results = []

    def wrapped(executor, x, timestep, model_options, seed):
        results.append(wrapper(executor, x, timestep, model_options, seed))
        return x

    def evaluate_once(model, noise, sigmas, extra_args=None, **_):
        x = randn(*noise.shape, seed=1)
        return model(x, sigmas[0].expand(len(x)).clone(), **extra_args)

    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "test", wrapped)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(tiny_models.prompt(2), tiny_models.prompt(3))
    guider.set_cfg(3.0)
    latent = torch.zeros(2, 4, 8, 8)
    sampler = comfy.samplers.KSAMPLER(evaluate_once)
    guider.sample(latent, latent, sampler, torch.tensor([0.8, 0.0]), disable_pbar=True, seed=0)
    return results[0]


def lively_model() -> Any:
    patcher = tiny_models.sd15()
    patcher.model.diffusion_model.out[-1].weight.mul_(30)
    return patcher


@pytest.mark.parametrize("checkpoint", [False, True])
def test_gradient_through_model_and_vae(checkpoint: bool):
    vae, direction, step = tiny_models.vae(), randn(2, 4, 8, 8, seed=6), 3e-3

    def slope(executor, x, timestep, model_options, seed):
        rises = [
            score(pixels(vae, executor(x + sign * step * direction, timestep, model_options, seed))) for sign in (1, -1)
        ]
        return (rises[0] - rises[1]) / (2 * step)

    def through_both(executor, x, timestep, model_options, seed):
        with input_gradients(executor.class_obj, model_options, checkpoint) as options:  # noqa: SIM117
            with decoder_gradients(vae, checkpoint) as decode:
                leaf = x.clone().requires_grad_()
                denoised = executor(leaf, thawed(timestep), options, seed)
                return torch.autograd.grad(score(decode(denoised)), leaf)[0]

    found = sample_once(lively_model(), through_both)
    assert (found * direction).sum().item() == pytest.approx(sample_once(lively_model(), slope).item(), rel=2e-3)


def test_memory_decides_how_many_views_are_decoded_at_once(monkeypatch):
    vae, latents = tiny_models.vae(), randn(7, 4, 1, 5, 6)
    estimate = vae.memory_used_decode((1, 4, 5, 6), torch.float32)
    monkeypatch.setattr(vae.patcher, "get_free_memory", lambda _: 12 * estimate)
    assert views_at_once(vae, latents) == views_at_once(vae, latents[:, :, 0]) == 4.0
    monkeypatch.setattr(vae.patcher, "get_free_memory", lambda _: estimate)
    assert views_at_once(vae, latents) < 1


class Interrupted(Exception):
    pass


@contextmanager
def failing_decode(vae: comfy.sd.VAE) -> Iterator[None]:
    def fail(*_):
        raise Interrupted

    with vae.first_stage_model.decoder.conv_out.register_forward_hook(fail):
        yield


@contextmanager
def failing_backward(vae: comfy.sd.VAE) -> Iterator[None]:
    """While a block is computed for the second time, which is when it has a graph."""

    def fail(*_):
        if torch.is_grad_enabled():
            raise Interrupted

    with vae.first_stage_model.decoder.mid.block_1.norm1.register_forward_hook(fail):
        yield


@contextmanager
def interrupt(vae: comfy.sd.VAE) -> Iterator[None]:
    comfy.model_management.interrupt_current_processing()
    try:
        yield
    finally:
        comfy.model_management.interrupt_current_processing(False)


@pytest.mark.parametrize(
    ("accident", "error"),
    [
        (nullcontext, None),
        (failing_decode, Interrupted),
        (failing_backward, Interrupted),
        (interrupt, comfy.model_management.InterruptProcessingException),
    ],
)
def test_nothing_is_left_behind(accident: Callable, error: type[Exception] | None):
    vae = tiny_models.vae()
    pixels(vae, randn(1, 4, 5, 6))  # loads it
    with accident(vae):
        before = traces(vae)
        with pytest.raises(error) if error else nullcontext():
            gradient(vae, randn(1, 4, 5, 6), checkpoint=True)
        after = traces(vae)
    assert [name for name in before | after if before.get(name) != after.get(name)] == []


def traces(vae: comfy.sd.VAE) -> dict[str, Any]:
    """Everything that the pass touches, in a form that can be compared."""
    found: dict[str, Any] = {
        "modes": (comfy.model_management.in_training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "vae": {name: id(value) for name, value in vars(vae).items()},
    }
    for path, module in vae.first_stage_model.named_modules():
        attributes = {name: id(value) for name, value in vars(module).items()}
        found[path] = attributes, len(module._forward_hooks)
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                content = hash(value.detach().numpy().tobytes())
                found[f"{path}.{name}"] = id(value), value.requires_grad, value.is_inference(), content
    return found


class Opaque(nn.Module):
    """A layer of another pack, whose kernel autograd does not know."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.weight = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def opaque(vae: comfy.sd.VAE) -> None:
    vae.first_stage_model.decoder.norm_out = Opaque(vae.first_stage_model.decoder.norm_out)


def without_gradients(vae: comfy.sd.VAE) -> None:
    vae.first_stage_model.decode = torch.no_grad()(vae.first_stage_model.decode)


def packed(vae: comfy.sd.VAE) -> None:
    vae.first_stage_model.decoder.conv_out.cast_bias_weight = lambda like: (torch.zeros(3, dtype=torch.uint8), None)


REFUSED = [
    (opaque, "in a layer of type Opaque"),
    (without_gradients, "its output is cut off from its input"),
    (packed, "packed in an unknown way"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED)
def test_a_vae_without_gradients_is_refused_with_a_way_out(change: Callable, reason: str):
    vae = tiny_models.vae()
    change(vae)
    with pytest.raises(RuntimeError, match=rf'No gradient .* this VAE .*{reason}.*Choose the loss "latent"'):
        gradient(vae, randn(1, 4, 5, 6))


@pytest.mark.parametrize(("change", "reason"), REFUSED)
def test_the_vae_is_named_although_a_model_runs_around_it(change: Callable, reason: str):
    vae = tiny_models.vae()
    change(vae)
    with pytest.raises(
        RuntimeError, match=rf'^No gradient .* this VAE .*{reason}.*Choose the loss "latent".*\.$'
    ) as caught:
        sample_once(tiny_models.sd15(), through(vae))
    assert "this model" not in str(caught.value)


def through(vae: comfy.sd.VAE) -> Callable:
    def wrapper(executor, x, timestep, model_options, seed):
        with input_gradients(executor.class_obj, model_options, False) as options, decoder_gradients(vae) as decode:
            leaf = x.clone().requires_grad_()
            denoised = executor(leaf, thawed(timestep), options, seed)
            return torch.autograd.grad(score(decode(denoised)), leaf)[0]

    return wrapper


def test_the_model_is_named_although_a_vae_runs_inside_of_it():
    model = tiny_models.sd15()
    layer = model.model.diffusion_model.out[-1]
    layer.cast_bias_weight = lambda like: (torch.zeros(3, dtype=torch.uint8), None)
    with pytest.raises(RuntimeError, match=r'No gradient .* this model .*packed.*guidance "projected" or "direct"'):
        sample_once(model, through(tiny_models.vae()))


@pytest.mark.parametrize(
    ("change", "latents", "message"),
    [
        (lambda vae: None, (1, 16, 2, 5, 6), r"compare single ones, got 2 latent frames.*the loss \"latent\""),
        (
            lambda vae: setattr(vae.first_stage_model, "decode", lambda z: z[:, :2, 0]),
            (1, 16, 1, 5, 6),
            r"vae: must decode a latent to a picture, but this one gives \(1, 2, 5, 6\).*the loss \"latent\"",
        ),
        (
            lambda vae: setattr(vae.first_stage_model, "decode", lambda z: {"mesh": z}),
            (1, 16, 1, 5, 6),
            r"vae: must decode a latent to a picture, but this one gives dict",
        ),
    ],
)
def test_what_is_no_picture_is_refused(change: Callable, latents: tuple[int, ...], message: str):
    vae = tiny_models.video_vae()
    change(vae)
    with pytest.raises(ValueError, match=message):
        gradient(vae, randn(*latents))


def loaded(patcher: Any) -> bool:
    return any(patcher.is_clone(model) for model in comfy.model_management.loaded_models())


def test_the_vae_is_loaded_along_with_the_model_and_stays():
    vae, model = tiny_models.vae(), tiny_models.sd15()
    load_along(model, vae)
    assert not loaded(vae.patcher)

    def look(*_):
        before = list(comfy.model_management.current_loaded_models)
        assert loaded(vae.patcher)
        assert loaded(model)
        pixels(vae, randn(1, 4, 5, 6))
        assert comfy.model_management.current_loaded_models == before  # nothing was loaded, nothing had to go

    sample_once(model, look)


def test_a_vae_that_is_not_loaded_is_loaded():
    vae = tiny_models.vae()
    pixels(vae, randn(1, 4, 5, 6))
    assert loaded(vae.patcher)

"""Every method computes on the device of its input, uses nothing in main memory there, and does not wait for it."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from analytic import convolution, gaussian
from joint_diffusion.core.canvas.decode import DecodeParams, decode_in_windows
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, canvas_size
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.joint_step import Aids, denoise_step, fusion_weights
from joint_diffusion.core.measure.panorama import panorama_metrics
from joint_diffusion.core.methods.multidiffusion import WindowParams, predict_jointly
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.powers_of_ten import blend, fit_photograph, render_image, render_noise
from joint_diffusion.core.methods.scale_map import ScaleMap
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twin_images import TwinImages
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.perception.lpips import Lpips, lpips_shapes
from joint_diffusion.core.perception.similarity import PictureSimilarity
from joint_diffusion.core.perception.style import Style
from joint_diffusion.core.perception.vgg import vgg_shapes
from joint_diffusion.core.step import Step
from joint_diffusion.core.zoom.between_levels import render_at
from joint_diffusion.core.zoom.one_space import joined_in_one_space
from two_devices import ELSEWHERE, Elsewhere, second_device

WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4), wrap=Wrap(x=True), batch=5)
STEP = Step(sigma=1.8, kept=0.7, index=1, count=10)


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


def pictures(latent):
    return torch.sigmoid(latent.repeat_interleave(4, -1).repeat_interleave(4, -2))


def joint_in(windows, **methods):
    return lambda x: denoise_step(x, STEP, convolution(), JointParams(windows=windows, **methods))


def joint(**methods):
    return joint_in(WINDOWS, **methods)


def sync_by(network, guidance):
    def step(x):
        similarity = PictureSimilarity(network(weights()).to(x.device), pictures, at_once=2)
        params = JointParams(windows=WINDOWS, sync=SyncParams(guidance=guidance))
        return denoise_step(x, STEP, convolution(), params, Aids(comparing=lambda _: nullcontext(similarity)))

    return step


def weights():
    """Random ones of VGG-16 and LPIPS, with activations of about unit size everywhere."""
    shapes, generator = {**vgg_shapes(), **lpips_shapes()}, torch.Generator().manual_seed(6)
    return {
        name: torch.randn(shape, generator=generator) * (2 / (9 * shape[1])) ** 0.5
        if len(shape) == 4
        else torch.zeros(shape)
        for name, shape in shapes.items()
    }


def twin_images(x):
    twin = TwinImages(overlap=3)
    return twin.rows(twin.pictures(twin.noise(x), 1.5, 4), 1.5, 4)


def style_distance(x):
    return panorama_metrics(x, [Window(0, 0, 16, 16), Window(0, 24, 16, 16)]).style_distance


def zoom_in_one_space(x):
    scale_map = ScaleMap(torch.tensor([[0.8, 0.1], [0.1, 0.7]]), torch.ones(2))
    return joined_in_one_space(x, 2, scale_map, lambda levels: blend(levels, 2))


CANVAS, STRIP, LEVELS = random(1, 3, 16, 16), random(1, 3, 8, 16), random(3, 2, 9, 12)
METHODS = {
    "MultiDiffusion": (joint(), CANVAS),
    "moving windows": (joint_in(replace(WINDOWS, moving=True)), CANVAS),
    "MSD": (joint(multiscale=MultiScaleParams()), CANVAS),
    "MSD, gradient": (joint(multiscale=MultiScaleParams(guidance="gradient")), CANVAS),
    "SyncDiffusion": (joint(sync=SyncParams()), CANVAS),
    "SyncDiffusion, gradient": (joint(sync=SyncParams(guidance="gradient")), CANVAS),
    "SyncDiffusion by LPIPS": (sync_by(Lpips, "direct"), STRIP),
    "SyncDiffusion by style": (sync_by(Style, "gradient"), STRIP),
    "TwinDiffusion": (joint(crop_fusion=CropFusionParams(), cross_sampling=CrossSamplingParams()), CANVAS),
    "twin images": (twin_images, random(3, 2, 6, 8)),
    "decode": (lambda x: decode_in_windows(x, pictures, DecodeParams(window=Size(6, 6), context=1, blend=1)), STRIP),
    "render image": (lambda x: render_image(x, 2), LEVELS),
    "render noise": (lambda x: render_noise(x, 2), LEVELS),
    "blend": (lambda x: blend(x, 2), LEVELS),
    "blend decoded": (lambda x: blend(x, 2, decoded=True), LEVELS),
    "photograph": (lambda x: fit_photograph(x, x[0] + 1, 2), LEVELS),
    "zoom in one space": (zoom_in_one_space, LEVELS),
    "zoom frame": (lambda x: render_at(x, 1.3, 2, Size(20, 22)), LEVELS),
    "metrics": (style_distance, random(1, 3, 16, 40)),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_computes_where_its_input_is(name):
    method, x = METHODS[name]
    expected = method(x)
    with second_device():
        result = method(x.to(ELSEWHERE))
    assert isinstance(result, Elsewhere)
    torch.testing.assert_close(result.here, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_needs_no_device_with_float64(name):
    method, x = METHODS[name]
    with second_device(has_float64=False):
        result = method(x.float().to(ELSEWHERE))
    assert isinstance(result, Elsewhere)
    torch.testing.assert_close(result.here, method(x.float()), rtol=0, atol=1e-6)


def test_an_unguided_step_does_not_wait():
    params, denoise = JointParams(windows=WINDOWS), gaussian()
    batches = WINDOWS.batches(WINDOWS.plan(canvas_size(CANVAS)))
    with second_device() as waits:
        x = CANVAS.to(ELSEWHERE)
        fused_by = fusion_weights(x, STEP, params, params.windows)  # once for all steps
        waits.clear()
        predict_jointly(x, batches, lambda views, _: (denoise(views, STEP.sigma),), fused_by)
        assert waits == []


def test_a_step_waits_for_nothing_but_to_see_that_latent_gradients_and_prediction_are_finite():
    params = JointParams(windows=WINDOWS, sync=SyncParams(guidance="gradient"))
    with second_device() as waits:
        x = CANVAS.to(ELSEWHERE)
        waits.clear()
        denoise_step(x, STEP, gaussian(), params)
    batches = WINDOWS.batches(WINDOWS.plan(canvas_size(CANVAS)))
    finite, weights_of_the_fusion = "_local_scalar_dense", "_to_copy"
    assert waits == [finite] * (1 + len(batches)) + [weights_of_the_fusion, finite]


@pytest.mark.parametrize("network", [Lpips, Style])
def test_looking_at_a_picture_does_not_wait(network):
    picture = torch.rand(1, 3, 32, 32)
    with second_device() as waits:
        perception, picture = network(weights()).to(ELSEWHERE), picture.to(ELSEWHERE)
        waits.clear()
        perception(picture, picture)
    assert waits == []


REFUSED = {
    "here added": lambda here, there: there + here,
    "elsewhere added here": lambda here, there: here.add_(there.sum()),
    "number here stacked": lambda here, there: torch.stack([there.sum(), here.sum()]),
    "weights here": lambda here, there: torch.lerp(there, there, here),
    "index elsewhere": lambda here, there: here[there.long()],
}


@pytest.mark.parametrize("mixture", REFUSED)
def test_the_second_device_refuses_what_a_gpu_refuses(mixture):
    here = torch.ones(2)
    with second_device(), pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        REFUSED[mixture](here, torch.zeros(2, device=ELSEWHERE))


def test_the_second_device_allows_what_a_gpu_allows():
    with second_device() as waits:
        there = torch.arange(3.0, device=ELSEWHERE)
        doubled = 2 * there + torch.tensor(1.0)
        assert waits == []
        picked = doubled[torch.tensor([2, 0])]
        back = picked.to("cpu")
        assert bool((picked > 0).all())
    torch.testing.assert_close(back, torch.tensor([5.0, 1.0]))
    assert waits == ["index", "_to_copy", "_local_scalar_dense"]


def test_a_second_device_without_float64_refuses_it():
    with second_device(has_float64=False):
        there = torch.ones(2).to(ELSEWHERE)
        with pytest.raises(TypeError, match="this device has no float64"):
            there.double()
        assert there.to("cpu", torch.float64).dtype == torch.float64

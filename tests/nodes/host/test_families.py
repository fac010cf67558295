"""What the pack knows of the host's models."""

import pytest
import tiny_models
import torch
from comfy import supported_models
from comfy.model_base import ModelType
from comfy.supported_models_base import BASE
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes.host.demo_model import demo_model
from joint_diffusion.nodes.host.families import COMMON_PIXELS, NATIVE_PIXELS, native_pixels, native_window


@pytest.mark.parametrize(
    ("build", "cells"),
    [
        (tiny_models.sd15, 64),
        (tiny_models.sdxl, 128),
        (tiny_models.flux, 128),
        (tiny_models.chroma_radiance, 1024),
        (demo_model, 16),
    ],
)
def test_the_native_window_is_found_without_a_warning_of_the_host(build, cells, caplog):
    with torch.inference_mode():
        assert native_window(build()) == Size(cells, cells)
    assert not caplog.records


@pytest.mark.parametrize(("kind", "cells"), [(ModelType.EPS, 64), (ModelType.V_PREDICTION, 96)])
def test_stable_diffusion_2_has_two_sizes(kind, cells):
    model = tiny_models.sd15()
    model.model.model_config, model.model.model_type = supported_models.SD20({}), kind
    assert native_window(model) == Size(cells, cells)


def test_every_family_that_is_named_is_one_of_the_host():
    assert all(issubclass(getattr(supported_models, family), BASE) for family in NATIVE_PIXELS)


@pytest.mark.parametrize(
    ("family", "pixels"),
    [
        ("SD15", (512, 512)),
        ("SV3D_p", (576, 576)),
        ("HunyuanVideoI2V", (480, 848)),
        ("HunyuanVideo15_SR_Distilled", (1080, 1920)),
        ("HunyuanImage21", (2048, 2048)),
        ("Kandinsky5Image", (1024, 1024)),
        ("WAN21_Vace", (720, 1280)),
        ("WAN22_T2V", (704, 1280)),
        ("PixArtSigma", COMMON_PIXELS),
    ],
)
def test_each_family_has_the_size_of_its_nearest_relative(family, pixels):
    assert native_pixels(getattr(supported_models, family)) == pixels

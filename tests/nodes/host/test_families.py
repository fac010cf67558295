"""What the pack knows of the host's models."""

import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes.host.demo_model import demo_model
from joint_diffusion.nodes.host.families import native_window


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

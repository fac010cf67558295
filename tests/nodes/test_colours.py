"""IMAGEs of other channels than three, in every node that takes pictures: the log says what is left out."""

import logging
from types import SimpleNamespace

import folder_paths
import numpy as np
import pytest
import torch
from joint_diffusion.nodes.colours import colours_of
from joint_diffusion.nodes.explore_zoom_stack import ExploreZoomStack
from joint_diffusion.nodes.host.settings import settings_of
from joint_diffusion.nodes.joint_upscale import JointUpscale
from joint_diffusion.nodes.load_demo_model import LoadDemoModel
from joint_diffusion.nodes.panorama_encode import PanoramaEncode
from joint_diffusion.nodes.panorama_latent import PanoramaLatent
from joint_diffusion.nodes.panorama_metrics import PanoramaMetrics
from joint_diffusion.nodes.structure_guidance import StructureGuidance
from joint_diffusion.nodes.zoom_prompts import ZoomPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler
from joint_diffusion.nodes.zoom_video import ZoomFrames
from PIL import Image

import nodes as host_nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

KSAMPLER = {"seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}
PATH = {"seconds_per_level": 0.5, "fps": 4.0, "easing": "linear", "direction": "in"}


@pytest.fixture(scope="module")
def demo():
    with torch.inference_mode():
        model, clip, vae = LoadDemoModel.execute().args
        (text,) = host_nodes.CLIPTextEncode().encode(clip, "summer day")
        return SimpleNamespace(model=model, clip=clip, vae=vae, text=text)


def encoded(demo, images):
    return PanoramaEncode.execute(images, demo.vae).args[0]["samples"]


def covered(demo, images):
    content = {"content": "img2img", "image": images, "vae": demo.vae}
    return PanoramaLatent.execute(128, 128, 2, demo.model, content).args[0]["samples"]


def followed(demo, images):
    return settings_of(StructureGuidance.execute(demo.model, images, demo.vae, 1.0).args[0].model_options).picture.image


def enlarged(demo, images):
    return JointUpscale.execute(demo.model, demo.text, demo.text, demo.vae, images, 1.0, 1.0, **KSAMPLER).args[0]


def measured(demo, images):
    picture, *numbers, _ = PanoramaMetrics.execute(images, demo.model).args
    return torch.cat([picture.flatten(), torch.tensor(numbers)])


def zoomed(demo, images):
    stack = ZoomPrompts.execute(demo.clip, "own prompts", "far lake\nwide lake", "", 0).args[0]
    size = {"width": 0, "height": 0, "blending": "latent"}
    return ZoomStackSampler.execute(demo.model, stack, demo.vae, **size, **KSAMPLER, photograph=images[:1]).args[1]


def filmed(_, images):
    return ZoomFrames.execute(images, 2, **PATH).args[0]


def explored(_, images):
    saved = ExploreZoomStack.execute(images, 2).ui["zoom_levels"]
    files = [f"{folder_paths.get_temp_directory()}/{one['subfolder']}/{one['filename']}" for one in saved]
    return torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files])


NODES = {
    encoded: "image",
    covered: "image",
    followed: "image",
    enlarged: "image",
    measured: "images",
    zoomed: "photograph",
    filmed: "images",
    explored: "images",
}


def pictures(channels=3):
    return torch.rand(2, 128, 128, channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("run", "field"), NODES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_transparency_is_left_out_and_the_log_says_so(demo, caplog, run, field):
    caplog.set_level(logging.WARNING)
    expected = run(demo, pictures())
    assert not [text for text in caplog.messages if "channel" in text]
    veiled = torch.cat([pictures(), torch.rand(2, 128, 128, 1)], dim=-1)
    assert torch.equal(run(demo, veiled), expected)
    (said,) = [text for text in caplog.messages if "channel" in text]
    assert said.startswith(f"{field}: must have 1 channel, grey, or 3, red, green and blue, got 4; ")
    assert said.endswith("Remove them before, with Split Image with Alpha.")


@pytest.mark.parametrize("run", NODES)
def test_grey_is_a_colour(demo, caplog, run):
    assert torch.equal(run(demo, pictures(1)), run(demo, pictures(1).repeat(1, 1, 1, 3)))
    assert not [text for text in caplog.messages if "channel" in text]


def test_grey_with_transparency(caplog):
    grey = pictures(2)
    assert torch.equal(colours_of("image", grey), grey[..., :1].repeat(1, 1, 1, 3))
    assert "image: must have 1 channel, grey, or 3, red, green and blue, got 2; " in caplog.text

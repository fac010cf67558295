"""NaN and what else ComfyUI lets through by its API: refused before anything is painted with it."""

import re

import pytest
import tiny_models
import torch
from joint_diffusion.nodes.joint_upscale import JointUpscale
from joint_diffusion.nodes.multi_scale import MultiScaleSampler
from joint_diffusion.nodes.panorama_latent import PanoramaLatent
from joint_diffusion.nodes.save_panorama import SavePanorama
from joint_diffusion.nodes.structure_guidance import StructureGuidance
from joint_diffusion.nodes.twin_images import TwinImages
from joint_diffusion.nodes.zoom_prompts import StackPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler
from joint_diffusion.nodes.zoom_video import ZoomFrames, ZoomVideo
from tiny_models import prompt

NAN, INFINITY = float("nan"), float("inf")
KSAMPLER = {"seed": 0, "steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
PROMPTS = {"positive": prompt(1), "negative": prompt(2)}
PICTURE = torch.zeros(1, 64, 64, 3)
FRAMES = {"zoom_factor": 2, "seconds_per_level": 0.1, "fps": 10.0, "easing": "linear", "direction": "in"}
GOOD = {
    MultiScaleSampler: {
        **KSAMPLER,
        **PROMPTS,
        "latent_image": {"samples": torch.zeros(1, 4, 8, 8)},
        "denoise": 1.0,
        "scales": 1,
        "strength": 1.0,
    },
    ZoomStackSampler: {
        **KSAMPLER,
        "zoom_prompts": StackPrompts(
            levels=[prompt(1), prompt(2)], negative=prompt(3), prompts=("a", "b"), zoom_factor=2
        ),
        "denoise": 1.0,
        "width": 64,
        "height": 64,
        "blending": "latent",
    },
    TwinImages: {**KSAMPLER, **PROMPTS, "width": 64, "height": 64, "overlap": 0.5, "adjacency": 1.0, "stop": 0.5},
    StructureGuidance: {"image": PICTURE, "structure": 1.0},
    JointUpscale: {
        **KSAMPLER,
        **PROMPTS,
        "image": PICTURE,
        "denoise": 1.0,
        "upscale_by": 1.0,
        "structure": 1.0,
    },
    ZoomFrames: {"images": torch.zeros(2, 64, 64, 3), **FRAMES},
    ZoomVideo: {"images": torch.zeros(2, 64, 64, 3), **FRAMES, "format": "mp4", "crf": 20},
    SavePanorama: {"source": {"source": "images", "images": PICTURE}},
}
CFG = "cfg: must be a finite number, got {}; 1 to 12 are usual."
DENOISE = "denoise: must be in 0..1, got {}; 1 starts from pure noise."
STRUCTURE = "structure: must be in 0..1, got {}; 0 is plain img2img."


@pytest.fixture(scope="module")
def models():
    with torch.inference_mode():
        return {"model": tiny_models.sd15(), "vae": tiny_models.vae()}


def wanted(node, models):
    """Those that the node takes."""
    return {field.id: models[field.id] for field in node.GET_SCHEMA().inputs if field.id in models}


@pytest.mark.parametrize(
    ("node", "field", "value", "message"),
    [
        (MultiScaleSampler, "cfg", NAN, CFG),
        (MultiScaleSampler, "denoise", NAN, DENOISE),
        (ZoomStackSampler, "cfg", INFINITY, CFG),
        (ZoomStackSampler, "denoise", NAN, DENOISE),
        (TwinImages, "cfg", NAN, CFG),
        (TwinImages, "overlap", NAN, "overlap: must be in 0..1, a part of the width, got {}; 0.5 is half a picture."),
        (StructureGuidance, "structure", NAN, STRUCTURE),
        (StructureGuidance, "structure_end", NAN, "structure_end: must be a number above 0, got {}; higher is freer."),
        (JointUpscale, "structure", NAN, STRUCTURE),
        (JointUpscale, "structure", -0.5, STRUCTURE),
        (ZoomFrames, "fps", NAN, "fps: must be a number above 0, got {}; 2 seconds and 30 fps are usual."),
        (ZoomFrames, "pixels_per_cell", 0, "pixels_per_cell: must be at least 1, got {}; set 8 for most models"),
        (ZoomVideo, "seconds_per_level", INFINITY, "seconds_per_level: must be a number above 0, got {}; 2 seconds"),
    ],
)
def test_what_is_no_number_is_refused(models, node, field, value, message):
    with torch.inference_mode(), pytest.raises(ValueError, match=re.escape(message.format(value))):
        node.execute(**wanted(node, models), **GOOD[node] | {field: value})


@pytest.mark.parametrize(
    ("node", "field", "message"),
    [
        (JointUpscale, "windows", "windows: must be one of overlapping, moving, got 'another'"),
        (ZoomVideo, "format", "format: must be one of mp4, webm, got 'another'"),
        (SavePanorama, "format", "format: must be one of png, tif, dzi, got 'another'"),
        (SavePanorama, "projection", "projection: must be one of none, equirectangular, got 'another'"),
    ],
)
def test_a_connected_choice_that_there_is_not_is_refused(models, node, field, message):
    with torch.inference_mode(), pytest.raises(ValueError, match=message):
        node.execute(**wanted(node, models), **GOOD[node] | {field: "another"})


def test_a_name_that_no_file_can_have_is_refused():
    source = {"source": "images", "images": PICTURE}
    with pytest.raises(
        ValueError, match=r"filename_prefix: must be a name that a file can have, got 'a/.*null character"
    ):
        SavePanorama.execute(source, "a/\0", "png", "none")


def test_an_unknown_choice_is_named_where_the_host_drops_it():
    """It hands over what is connected under that choice, and neither the choice nor a word."""
    with pytest.raises(ValueError, match=r"content: must be one of empty, outpaint, img2img, got another choice, for"):
        PanoramaLatent.execute(64, 64, 1, **{"content.image": PICTURE})
    with pytest.raises(
        ValueError, match=r"source: must be one of latent, images, got another choice, for which source\."
    ):
        SavePanorama.execute(filename_prefix="a", format="png", projection="none", **{"source.images": PICTURE})
    with pytest.raises(ValueError, match=r"source: must be one of latent, images, got none of them; choose one"):
        SavePanorama.execute(filename_prefix="a", format="png", projection="none")

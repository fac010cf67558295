"""The workflows for transformers on the real server, with a tiny model of the family in the place of each."""

import copy
import io
import json
import urllib.parse

import av
import numpy as np
import pytest
import tiny_models
from host import ROOT
from PIL import Image
from safetensors.torch import save_file

FAMILIES = {
    "panorama_flux": "flux",
    "panorama_flux_schnell": "flux",
    "panorama_sd35": "sd3",
    "panorama_qwen_image": "qwen_image",
    "panorama_360_qwen_image": "qwen_image",
    "panorama_z_image": "z_image",
    "texture_z_image": "z_image",
    "edit_flux_kontext": "flux",
    "edit_qwen_image": "qwen_image",
    "video_360_wan": "wan",
}
PROMPTS = {name: json.loads((ROOT / "workflows/api" / f"{name}.json").read_text()) for name in FAMILIES}
LOADERS = {  # of tiny_loaders.py
    "UNETLoader": "TinyModel",
    "CLIPLoader": "TinyText",
    "DualCLIPLoader": "TinyText",
    "VAELoader": "TinyVAE",
    "CheckpointLoaderSimple": "TinyCheckpoint",
}
SIDE = 64
# Other settings that make a workflow small. A window of 0 is the native one, which is larger than the small canvas.
SMALL = {"steps": 2, "megapixels": (2 * SIDE) ** 2 / 1024**2, "length": 5}
SIDES = dict.fromkeys(("PanoramaLatent", "EmptyHunyuanLatentVideo"), ("width", "height"))
SIDES["PanoramaWindows"] = "window_width", "window_height"
# What the small workflow gives, as (frames, height, width).
SHAPES = dict.fromkeys(FAMILIES, (1, SIDE, 3 * SIDE)) | {
    "panorama_360_qwen_image": (1, SIDE, 2 * SIDE),
    "texture_z_image": (1, 2 * SIDE, 2 * SIDE),
    "edit_flux_kontext": (1, 2 * SIDE, 2 * SIDE),
    "edit_qwen_image": (1, 2 * SIDE, 2 * SIDE),
    "video_360_wan": (5, SIDE, 5 * SIDE),
}


def small(name):
    """The workflow with a tiny model: its canvas and windows are 64 pixels high, and have about their proportions."""
    prompt = copy.deepcopy(PROMPTS[name])
    (windows,) = (key for key, node in prompt.items() if node["class_type"] == "PanoramaWindows")
    for node in prompt.values():
        inputs = node["inputs"]
        if node["class_type"] in LOADERS:
            node |= {"class_type": LOADERS[node["class_type"]], "inputs": {"family": FAMILIES[name]}}
        if node["class_type"] == "JointUpscale":
            inputs["model"] = [windows, 0]
        inputs |= {key: value for key, value in SMALL.items() if key in inputs}
        if node["class_type"] in SIDES:
            width, height = SIDES[node["class_type"]]
            inputs |= {width: SIDE * round(inputs[width] / (inputs[height] or 1) or 1), height: SIDE}
    return prompt


def output(prompt, *types):
    """The node that saves."""
    (key,) = (key for key, node in prompt.items() if node["class_type"] in types)
    return key


def file_of(server, run, key):
    """The only file that a node saved."""
    (saved,) = run.outputs[key]["images"]
    return io.BytesIO(server.get(f"/view?{urllib.parse.urlencode(saved)}"))


def frames(file):
    """(T, H, W, 3) of a video or of a picture."""
    try:
        return np.asarray(Image.open(file).convert("RGB"))[None]
    except OSError:
        file.seek(0)
        with av.open(file) as video:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])


@pytest.mark.parametrize("name", FAMILIES)
def test_it_runs_with_a_tiny_model_of_its_family(server, name):
    prompt = small(name)
    server.add_input("example.png", np.random.default_rng(0).random((96, 96, 3)))
    for node in prompt.values():
        if node["class_type"] == "LoraLoaderModelOnly":
            file = server.base / "models/loras" / node["inputs"]["lora_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(tiny_models.lora_weights(getattr(tiny_models, FAMILIES[name])()), file)
    key = output(prompt, "SaveImage", "SavePanorama", "SaveVideo")
    file = file_of(server, server.run(prompt), key)
    shown = frames(file)
    assert shown.shape == (*SHAPES[name], 3)
    assert np.isfinite(shown).all()
    assert min(part.std() for part in np.split(shown, 2, axis=2)) > 1, "a half of the picture is flat"
    if "projection" in prompt[key]["inputs"]:
        assert 'GPano:ProjectionType="equirectangular"' in Image.open(file).info["xmp"].decode()


@pytest.mark.parametrize("name", FAMILIES)
def test_its_files_are_offered_for_download(name):
    """The front end offers what a loader names in `models`: the file of each field, from the folder of that name."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
    models = [model for node in workflow["nodes"] for model in node["properties"].get("models", ())]
    offered = {model["name"]: model["url"] for model in models}
    values = [value for node in PROMPTS[name].values() for value in node["inputs"].values()]
    assert offered.keys() == {value for value in values if str(value).endswith(".safetensors")}
    assert all(url.startswith("https://huggingface.co/") and url.endswith(f"/{file}") for file, url in offered.items())

"""Wrong values that come by a connection, which ComfyUI does not look at: each answer names the input of the node."""

import json

import pytest
from comfy_server import PromptFailed

MODEL, LATENT = ["demo", 0], ["latent", 0]
WINDOWS = {
    "window_width": 64,
    "window_height": 64,
    "overlap": 0.5,
    "windows": "overlapping",
    "wrap_x": False,
    "wrap_y": False,
}
GOOD = {
    "PanoramaWindows": {"model": MODEL, **WINDOWS},
    "SyncGuidance": {"model": MODEL, "weight": 20.0, "loss": "latent"},
    "TwinCropFusion": {"model": ["windows", 0], "adjacency": 1.0, "stop": 0.5, "cross_sampling": True},
    "StructureGuidance": {"model": MODEL, "image": ["levels", 0], "vae": ["demo", 2], "structure": 1.0},
    "ZoomVideo": {
        "images": ["levels", 0],
        "zoom_factor": 2,
        "seconds_per_level": 0.1,
        "fps": 10.0,
        "easing": "linear",
        "direction": "in",
        "format": "mp4",
        "crf": 20,
        "filename_prefix": "zoom",
    },
}


def graph(node, field, value):
    """The node with one value by a connection, and Panorama Plan behind it if it gives a MODEL."""
    kind = "PrimitiveInt" if isinstance(value, int) else "PrimitiveFloat"
    found = {
        "demo": {"class_type": "LoadDemoModel", "inputs": {}},
        "levels": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 0}},
        "latent": {"class_type": "PanoramaLatent", "inputs": {"width": 256, "height": 128, "batch_size": 1}},
        "windows": {"class_type": "PanoramaWindows", "inputs": GOOD["PanoramaWindows"]},
        "value": {"class_type": kind, "inputs": {"value": value}},
        "node": {"class_type": node, "inputs": {**GOOD[node], field: ["value", 0]}},
    }
    if node != "ZoomVideo":
        found["plan"] = {"class_type": "PanoramaPlan", "inputs": {"model": ["node", 0], "samples": LATENT}}
    return json.loads(json.dumps(found))


@pytest.mark.parametrize(
    ("node", "field", "value", "message"),
    [
        ("PanoramaWindows", "windows_per_batch", -1, "windows_per_batch: must be at least 0, got -1; 0 is automatic"),
        ("SyncGuidance", "anchor_x", 2.0, r"anchor_x: must be in 0\.\.1 .*, got 2\.0; 0\.5 is the middle"),
        ("SyncGuidance", "anchor_y", -1.0, r"anchor_y: must be in 0\.\.1 .*, got -1\.0"),
        ("TwinCropFusion", "adjacency", 0.0, r"adjacency \(lambda\): must be a number above 0, got 0\.0; small values"),
        ("TwinCropFusion", "cross_stride", -32, r"cross_stride: must be a multiple of 32 pixels.*got -32; nearest: 0"),
        ("StructureGuidance", "structure_end", 0.0, r"structure_end: must be a number above 0, got 0\.0; higher is"),
        ("ZoomVideo", "crf", 60, r"crf: must be in 1\.\.51, got 60; 20 hardly differs"),
        ("ZoomVideo", "crf", 0, r"crf: must be in 1\.\.51, got 0"),
        ("ZoomVideo", "fps", 0.0004, r"fps: must be at least 0\.001 frames per second, got 0\.0004"),
    ],
)
def test_it_is_the_name_in_the_node(server, node, field, value, message):
    with pytest.raises(PromptFailed, match=rf"^{node}: {message}"):
        server.run(graph(node, field, value))


def test_what_the_canvas_does_not_allow_has_the_name_too(server):
    """Panorama Plan finds it, as the sampler would."""
    with pytest.raises(PromptFailed, match=r"PanoramaPlan: cross_stride height: 2 sets of windows must .*, got 8"):
        server.run(graph("TwinCropFusion", "cross_stride", 64))

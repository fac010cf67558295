"""Zoom stacks by the bundled model on the real server."""

import numpy as np
import pytest
from comfy_server import PromptFailed
from nested_levels import assert_levels_nest

LINES = "far forest lake, summer day\nwide forest, summer day\nnear forest, summer day"


def zoom(blending="mixed", steps=4, **changes):
    """LoadDemoModel to SaveImage through Zoom Prompts and Zoom Stack Sampler."""
    return {
        "demo": {"class_type": "LoadDemoModel", "inputs": {}},
        "prompts": {
            "class_type": "ZoomPrompts",
            "inputs": {
                "clip": ["demo", 1],
                "preset": "own prompts",
                "prompts": LINES,
                "negative": "",
                "zoom_factor": 0,
            },
        },
        "sampler": {
            "class_type": "ZoomStackSampler",
            "inputs": {
                "model": ["demo", 0],
                "zoom_prompts": ["prompts", 0],
                "vae": ["demo", 2],
                "seed": 3,
                "steps": steps,
                "cfg": 2.0,
                "sampler_name": "euler_ancestral",
                "scheduler": "karras",
                "denoise": 1.0,
                "width": 0,
                "height": 0,
                "blending": blending,
                **changes,
            },
        },
        "text": {"class_type": "PreviewAny", "inputs": {"source": ["prompts", 1]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["sampler", 1], "filename_prefix": "zoom"}},
    }


def connected(prompt):
    """The same prompts by CLIPTextEncode nodes in the growing inputs."""
    inputs = prompt["prompts"]["inputs"]
    for number, line in enumerate(LINES.splitlines()):
        prompt[f"text{number}"] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["demo", 1], "text": line}}
        inputs[f"levels.level_{number}"] = [f"text{number}", 0]
    inputs["prompts"] = ""
    return prompt


def test_a_zoom_stack_arrives_with_previews_and_progress(server):
    run = server.run(zoom())
    images = server.images(run, "save")
    assert images.shape == (3, 128, 128, 3)
    assert images.std() > 0.05
    assert_levels_nest(images)
    assert [step for node, step, _ in run.progress if node == "sampler"][:4] == [1, 2, 3, 4]
    sheet = np.asarray(run.previews[0].convert("RGB"), dtype=float)
    half = len(sheet) // 2  # levels two by two, and the fourth place empty
    assert sheet[half + 8 :, half + 8 :].std((0, 1)).max() < 1 < sheet[:half, :half].std((0, 1)).min()
    assert run.outputs["text"]["text"][0].splitlines() == LINES.splitlines()


def test_connected_levels_are_the_same_as_lines(server):
    lines = server.images(server.run(zoom()), "save")
    assert np.array_equal(server.images(server.run(connected(zoom())), "save"), lines)


def test_a_photograph_and_a_second_pass(server):
    """Into a photograph, and the finished stack refined."""
    rows, columns = np.mgrid[0:160, 0:160] / 160
    photograph = np.stack([0.3 * rows, 0.3 + 0.4 * rows, 0.9 - 0.7 * rows], -1) + 0.05 * np.sin(9 * columns)[..., None]
    name = server.add_input("photograph.png", photograph.clip(0, 1))
    prompt = zoom("pixel", steps=8, photograph=["photograph", 0])
    prompt["photograph"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    prompt["refined"] = {
        "class_type": "ZoomStackSampler",
        "inputs": {**prompt["sampler"]["inputs"], "latent_image": ["sampler", 0], "denoise": 0.5},
    }
    prompt["save refined"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["refined", 1], "filename_prefix": "refined"},
    }
    run = server.run(prompt)
    for node in ("save", "save refined"):
        outermost = server.images(run, node)[0]
        assert np.sqrt(np.square(outermost[::8, ::8] - photograph[::10, ::10]).mean()) < 0.1


def test_interruption_leaves_the_model_as_it_was(server):
    before = server.images(server.run(zoom(seed=5)), "save")

    def stop_at_the_first_step(run, event):
        if event["type"] == "progress" and event["data"]["node"] == "sampler":
            server.interrupt(run)

    run = server.run(zoom("pixel", steps=500, seed=6), on_event=stop_at_the_first_step)
    assert run.interrupted
    assert max(step for node, step, _ in run.progress if node == "sampler") < 50
    again = zoom(seed=5, pixel_to=1.0)  # the same stack, but not out of the server's cache
    assert np.array_equal(server.images(server.run(again), "save"), before)


def test_too_few_prompts_are_refused(server):
    prompt = zoom()
    prompt["prompts"]["inputs"]["prompts"] = "far lake"
    with pytest.raises(PromptFailed, match="prompts: a zoom stack has at least 2 levels"):
        server.run(prompt)

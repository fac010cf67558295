"""A panorama by the bundled model on the real server: pictures, previews, progress and interruption."""

import re
import time

import numpy as np
import pytest
from comfy_server import PromptFailed


def panorama(steps=4, seed=3):
    """LoadDemoModel to SaveImage, through windows that wrap."""

    def text(words):
        return {"class_type": "CLIPTextEncode", "inputs": {"clip": ["demo", 1], "text": words}}

    return {
        "demo": {"class_type": "LoadDemoModel", "inputs": {}},
        "positive": text("a winter lake at dawn"),
        "negative": text(""),
        "latent": {
            "class_type": "PanoramaLatent",
            "inputs": {"width": 384, "height": 128, "batch_size": 1, "model": ["demo", 0]},
        },
        "windows": {
            "class_type": "PanoramaWindows",
            "inputs": {
                "model": ["demo", 0],
                "window_width": 0,
                "window_height": 0,
                "overlap": 0.5,
                "windows": "overlapping",
                "wrap_x": True,
                "wrap_y": False,
            },
        },
        "plan": {"class_type": "PanoramaPlan", "inputs": {"model": ["windows", 0], "samples": ["latent", 0]}},
        "sampler": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["windows", 0],
                "seed": seed,
                "steps": steps,
                "cfg": 2.0,
                "sampler_name": "euler",
                "scheduler": "karras",
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent_image": ["latent", 0],
                "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "PanoramaDecode",
            "inputs": {"samples": ["sampler", 0], "vae": ["demo", 2], "wrap_x": True},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "panorama"}},
    }


def test_a_panorama_arrives_with_previews_and_progress(server):
    run = server.run(panorama())
    (image,) = server.images(run, "save")
    assert image.shape == (128, 384, 3)
    assert image.std() > 0.05
    seam = np.abs(image[:, 0] - image[:, -1]).mean()
    assert seam < 2 * np.abs(np.diff(image, axis=1)).mean()
    assert [step for node, step, _ in run.progress if node == "sampler"][-1] == 4
    assert run.previews
    assert run.previews[-1].size[0] > run.previews[-1].size[1]
    assert server.images(run, "plan").shape[0] == 1


def test_the_sampler_says_how_long_it_will_take(server):
    """About once a second, step by step, and at the end how long it took."""
    begun, steps = time.monotonic(), 100
    run = server.run(panorama(steps=steps, seed=7))
    seconds = time.monotonic() - begun
    assert {node for node, _ in run.texts} == {"sampler"}
    *during, last = [text for _, text in run.texts]
    said = [re.fullmatch(rf"step (\d+) of {steps}, \d+:\d\d left", text) for text in during]
    assert all(said), during
    numbers = [int(found[1]) for found in said]
    assert numbers == sorted(numbers)
    assert 1 < len(said) <= seconds
    minutes, rest = map(int, re.fullmatch(rf"{steps} steps in (\d+):(\d\d)", last).groups())
    assert 1 < 60 * minutes + rest <= seconds + 1


def test_interruption_leaves_the_model_as_it_was(server):
    (expected,) = server.images(server.run(panorama(seed=5)), "save")

    def stop_at_the_first_step(run, event):
        if event["type"] == "progress" and event["data"]["node"] == "sampler":
            server.interrupt(run)

    run = server.run(panorama(steps=500, seed=6), on_event=stop_at_the_first_step)
    assert run.interrupted
    assert max(step for node, step, _ in run.progress if node == "sampler") < 100

    prompt = panorama(seed=5)
    prompt["windows"]["inputs"]["windows_per_batch"] = 2  # the same picture, but not out of the server's cache
    run = server.run(prompt)
    assert "demo" in run.cached
    assert "sampler" not in run.cached
    np.testing.assert_allclose(server.images(run, "save")[0], expected, atol=1.01 / 255)


def test_a_canvas_of_parts_of_cells_is_refused(server):
    prompt = panorama()
    prompt["latent"]["inputs"]["width"] = 404
    with pytest.raises(PromptFailed, match=r"width: must be a multiple of 8 pixels.*400 or 408"):
        server.run(prompt)


def test_old_settings_are_refused_by_the_name_of_the_new_one(server):
    prompt = with_guidance(panorama())
    prompt["guidance"]["inputs"]["guidance"] = "jacobian_free"
    with pytest.raises(PromptFailed, match="guidance: 'jacobian_free' not in"):
        server.run(prompt)


def with_guidance(prompt):
    """Multi-Scale Guidance after the windows, on a canvas that is two windows high."""
    prompt["latent"]["inputs"]["height"] = 256
    prompt["guidance"] = {
        "class_type": "MultiScaleGuidance",
        "inputs": {"model": ["windows", 0], "scales": 2, "strength": 1.0},
    }
    prompt["sampler"]["inputs"]["model"] = ["guidance", 0]
    return prompt


def custom(prompt, advanced):
    """The same sampling through SamplerCustom or SamplerCustomAdvanced."""
    given = prompt["sampler"]["inputs"]
    conds = {"positive": given["positive"], "negative": given["negative"], "cfg": given["cfg"]}
    shared = {"sampler": ["euler", 0], "sigmas": ["sigmas", 0], "latent_image": given["latent_image"]}
    prompt["euler"] = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": given["sampler_name"]}}
    prompt["sigmas"] = {
        "class_type": "BasicScheduler",
        "inputs": {"model": given["model"], **{key: given[key] for key in ("scheduler", "steps", "denoise")}},
    }
    if advanced:
        prompt["noise"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": given["seed"]}}
        prompt["guider"] = {"class_type": "CFGGuider", "inputs": {"model": given["model"], **conds}}
        inputs = {"noise": ["noise", 0], "guider": ["guider", 0], **shared}
    else:
        inputs = {"model": given["model"], "add_noise": True, "noise_seed": given["seed"], **conds, **shared}
    prompt["sampler"] = {"class_type": "SamplerCustomAdvanced" if advanced else "SamplerCustom", "inputs": inputs}
    return prompt


@pytest.mark.parametrize("prepare", [lambda prompt: prompt, with_guidance], ids=["windows", "guided"])
def test_custom_samplers_paint_what_ksampler_paints(server, prepare):
    def paint(change):
        run = server.run(change(prepare(panorama())))
        (image,) = server.images(run, "save")
        return image

    expected = paint(lambda prompt: prompt)
    assert np.array_equal(paint(lambda prompt: custom(prompt, advanced=False)), expected)
    assert np.array_equal(paint(lambda prompt: custom(prompt, advanced=True)), expected)


def test_the_multi_scale_sampler_is_ksampler_with_guidance(server):
    guided = with_guidance(panorama())
    (expected,) = server.images(server.run(guided), "save")
    own = with_guidance(panorama())
    own["sampler"]["class_type"] = "MultiScaleSampler"
    own["sampler"]["inputs"] |= {"model": ["windows", 0], "scales": 2, "strength": 1.0}
    (image,) = server.images(server.run(own), "save")
    assert np.array_equal(image, expected)

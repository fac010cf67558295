"""Ray Workers on the real server: a worker's ComfyUI loads the bundled model and paints windows of the same picture."""

import json
import time

import numpy as np
import pytest
from comfy_server import running_server
from host import ROOT

pytest.importorskip("ray", reason="no workers: ray is not installed (uv pip install ray)")
SECONDS = 600  # that a worker may take to start, on a machine that has other things to do


@pytest.fixture
def server(tmp_path, monkeypatch):
    """One that knows the pack alone, as a user's does."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else they wait for all that this machine does beside
    with running_server(tmp_path) as running:
        yield running


def panorama(steps, workers=0):
    """The workflow panorama_demo on a small canvas; with workers between loader and windows, as a user puts them."""
    prompt = json.loads((ROOT / "workflows/api/panorama_demo.json").read_text())
    nodes = {node["class_type"]: node["inputs"] for node in prompt.values()}
    nodes["PanoramaLatent"].update(width=512, height=128)
    nodes["KSampler"]["steps"] = steps
    (save,) = (number for number, node in prompt.items() if node["class_type"] == "SaveImage")
    if workers:
        loader = nodes["PanoramaWindows"]["model"]
        inputs = {"model": loader, "address": "", "workers": workers}
        prompt["workers"] = {"class_type": "RayWorkers", "inputs": inputs, "_meta": {"title": "Ray Workers"}}
        nodes["PanoramaWindows"]["model"] = ["workers", 0]
    return prompt, save


def wait_for(server, text):
    end = time.monotonic() + SECONDS
    while text not in server.log:
        assert time.monotonic() < end, server.log[-3000:]
        time.sleep(0.5)


def test_a_worker_paints_windows_of_the_same_picture(server):
    server.run(panorama(1, workers=1)[0], timeout=SECONDS)
    wait_for(server, "worker 1 is ready.")
    (alone, save), (shared, _) = panorama(20), panorama(20, workers=1)
    expected = server.images(server.run(alone), save)
    np.testing.assert_allclose(server.images(server.run(shared), save), expected, atol=1.01 / 255)
    reports = [line.split("Ray Workers: ")[1].split() for line in server.log.splitlines() if "views by workers" in line]
    from_workers, _, views, *_ = reports[-1]
    assert 0 < int(from_workers) <= int(views)

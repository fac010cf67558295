"""The client of the API, as a person starts it, with every workflow in API format."""

import json
import os
import re
import subprocess
import sys

import av
import pytest
from host import ROOT
from PIL import Image

PROMPTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "workflows" / "api").glob("*.json"))}
DEMOS = [name for name in PROMPTS if name.endswith("_demo")]
STEPS = 2  # it is not the pictures that are looked at here


def client(server, prompt, folder):
    (folder / "workflow.json").write_text(json.dumps(prompt))
    command = [ROOT / "tools" / "queue_workflow.py", "workflow.json"]
    command += ["--server", f"http://{server.address}", "--out", "got"]
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def quick(name):
    prompt = json.loads(json.dumps(PROMPTS[name]))
    for node in prompt.values():
        node["inputs"] |= {"steps": STEPS} if "steps" in node["inputs"] else {}
    return prompt


def of_type(prompt, class_type):
    return [node["inputs"] for node in prompt.values() if node["class_type"] == class_type]


@pytest.mark.parametrize("name", DEMOS)
def test_it_fetches_what_the_workflow_saves_and_no_preview(server, tmp_path, name):
    prompt = quick(name)
    done = client(server, prompt, tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / line for line in done.stdout.splitlines())
    assert [path] == list((tmp_path / "got").iterdir())
    if name.startswith("zoom"):
        with av.open(path) as video:
            assert path.suffix == ".mp4"
            assert video.streams.video[0].frames > 10
    else:
        (save,) = of_type(prompt, "SaveImage") or of_type(prompt, "SavePanorama")
        assert re.fullmatch(rf"{save['filename_prefix']}_\d+_\.png", path.name)
        if of_type(prompt, "PanoramaLatent") and "upscale" not in name:
            canvas = of_type(prompt, "PanoramaLatent")[-1]
            assert Image.open(path).size == (canvas["width"], canvas["height"])


def test_progress_is_shown_by_node(server, tmp_path):
    prompt = quick("panorama_demo")
    of_type(prompt, "KSampler")[0]["seed"] = 123456  # else it is known
    shown = client(server, prompt, tmp_path).stderr
    assert re.search(rf"KSampler \(node \d+\): {STEPS} of {STEPS}", shown)
    assert "Panorama Decode (node " in shown


@pytest.mark.parametrize("name", sorted(set(PROMPTS) - set(DEMOS)))
def test_what_the_server_refuses_is_reported_by_node(server, tmp_path, name):
    """Other tests may have put empty files there, which get the prompt as far as the loader."""
    done = client(server, PROMPTS[name], tmp_path)
    assert done.returncode == 1
    assert "workflow.json failed.\n" in done.stderr
    assert re.search(r"^Load [\w ()]+ \(node \d+\): ", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_a_node_that_fails_is_named(server, tmp_path):
    prompt = quick("panorama_360_seasons_demo")
    of_type(prompt, "PanoramaPrompts")[0]["prompts"] = ""
    done = client(server, prompt, tmp_path)
    assert done.returncode == 1
    assert re.search(r"^Panorama Prompts \(node \d+\): prompts: there must be at least one", done.stderr, re.MULTILINE)


def test_a_workflow_that_saves_nothing(server, tmp_path):
    prompt = quick("panorama_360_seasons_demo")
    prompt = {key: node for key, node in prompt.items() if node["class_type"] != "SaveImage"}
    done = client(server, prompt, tmp_path)
    assert done.returncode == 1
    assert "workflow.json saves nothing: add Save Image" in done.stderr

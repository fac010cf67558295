import json
import subprocess
import sys

import pytest
import torch
from commands import python
from host import ROOT
from PIL import Image

SMALL = ("--height", "128", "--width", "192", "--steps", "2")


def run_alone(*arguments):
    return subprocess.run([sys.executable, "-m", "demo", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("method", ["multidiffusion", "msd", "sync", "twin", "full"])
def test_a_panorama_and_one_line_of_numbers(method, tmp_path):
    path = tmp_path / "panorama.png"
    done = python("-m", "demo", "panorama", "--method", method, *SMALL, "--out", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert {"order_violations_per_column", "seam_energy", "palette_distance", "palette_deviation"} <= set(report)
    assert report["method"] == method
    assert report["seconds"] > 0
    assert report["views"] > 0
    assert Image.open(path).size == (192, 128)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", ["panorama --method full --height 128 --width 192", "zoom --levels 2"])
def test_a_gpu_paints_too(options, tmp_path):
    done = run_alone(*options.split(), "--steps", "2", "--device", "cuda", "--out", str(tmp_path / "painted.png"))
    assert done.returncode == 0, done.stderr


def test_options_of_a_method_reach_it(tmp_path):
    out = ("--out", str(tmp_path / "panorama.png"))
    options = ("--scales", "1", "--strength", "0.5", "--sync-weight", "7", "--adjacency", "0.5", "--groups", "2")
    done = python("-m", "demo", "panorama", "--method", "full", *SMALL, *options, *out)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["multiscale"]["scales"], report["multiscale"]["strength"]) == (1, 0.5)
    assert report["sync"]["weight"] == 7
    assert not report["moving"]
    assert (report["crop_fusion"]["adjacency"], report["cross_sampling"]["groups"]) == (0.5, 2)


def test_windows_that_move(tmp_path):
    """Two side by side, and a third where they have moved; overlapping ones are three."""
    reports = {}
    for moving in ((), ("--moving",)):
        options = ("--width", "256", "--steps", "6", *moving, "--out", str(tmp_path / "picture.png"))
        done = python("-m", "demo", "panorama", *SMALL, *options)
        assert done.returncode == 0, done.stderr
        reports[bool(moving)] = json.loads(done.stdout.splitlines()[-1])
    assert reports[True]["moving"]
    assert not reports[False]["moving"]
    assert 6 * 2 <= reports[True]["views"] <= reports[False]["views"] == 6 * 3
    assert reports[True]["palette_deviation"] != reports[False]["palette_deviation"]


def test_a_refusal_is_one_line():
    done = run_alone("panorama", "--width", "1001")
    assert done.returncode != 0
    assert done.stderr.startswith("demo: width: ")
    assert done.stderr.count("\n") == 1


REFUSED = {
    "panorama --width 1001": "width: must be a multiple of 8 and at least 128 pixels, got 1001; 1000 is the nearest",
    "panorama --method twin --moving": "cross_sampling: moving windows already do what Cross Sampling does",
    "panorama --scales 5": "scales: must be in 1..4, or 0 for as many as the canvas asks for, got 5",
    "panorama --scales 4": "scales: with 4 scales the height of the canvas comes down to 4 latent cells",
    "panorama --strength 1.5": "strength: must be in 0..1, got 1.5",
    "panorama --method sync --strength 1": "--strength: belongs to the method msd or full, not to sync.",
    "panorama --method msd --sync-weight 7": "--sync-weight: belongs to the method sync or full, not to msd.",
    "panorama --method full --width 128 --height 128": "sync guidance: one window of 16 x 16 latent cells covers this",
    "panorama --stride 17": "stride height: must be in 1..16 (the window), got 17",
    "panorama --steps 0": "steps: must be at least 1, got 0",
    "panorama --cfg nan": "cfg: must be a finite number, got nan; 1 is no guidance",
    "panorama --out picture.foo": "--out: must end in an image format, such as .png, .jpg or .webp, got picture.foo",
    "panorama --device nowhere": "--device: must be one that PyTorch can use here, got 'nowhere' (",
    "panorama --method twin --adjacency 0": "adjacency (lambda): must be a number above 0, got 0.0",
    "panorama --address 10.0.0.1:6379": "--address: belongs to --workers, got '10.0.0.1:6379' and no workers; set",
    "enlarge --image picture.png --structure 2": "structure: must be in 0..1, got 2.0; 0 is plain img2img",
    "zoom --device nowhere": "--device: must be one that PyTorch can use here, got 'nowhere' (",
    "zoom --cfg inf": "cfg: must be a finite number, got inf",
    "zoom --steps 0": "steps: must be at least 1, got 0",
    "zoom --pixel-steps 3 --steps 2": "pixel_steps: must be in 0..2 (the steps), got 3",
    "zoom --pixel-steps -1": "pixel_steps: must be in 0..30 (the steps), got -1",
    "zoom --zoom-factor 3": "height: must be a multiple of 96 and at least 192 pixels for zoom_factor = 3, got 128",
    "zoom --zoom-factor 1": "zoom_factor: must be at least 2, got 1",
    "zoom --prompts far": "prompts: a zoom stack has at least 2 levels, got 1",
    "zoom --levels 1 --prompts far near": "--levels: must be at least the number of prompts (2), got 1",
    "zoom --levels 0": "--levels: must be at least 2, got 0; leave the option out for 8",
    "zoom --out README.md": "--out: must be where files can be written, got README.md (",
    "panorama --out README.md/picture.png": "--out: must be where files can be written, got README.md (",
    "enlarge --image nowhere.png": "--image: must be a picture that can be read, got nowhere.png (",
    "enlarge --image README.md": "--image: must be a picture that can be read, got README.md (",
    "zoom --levels 1": "prompts: a zoom stack has at least 2 levels, got 1",
}

# Without weights none could begin to paint; and one process is enough for all.
TRY_THEM = """
import json, sys
from pathlib import Path
from demo import __main__ as demo, pipeline

pipeline.WEIGHTS = pipeline.AUTOENCODER = pipeline.DENOISER = Path("nowhere")
for line in json.loads(sys.argv.pop()):
    sys.argv[1:] = line.split()
    try:
        demo.main()
    except SystemExit as refusal:
        print(json.dumps([line, refusal.code]))
"""


def test_what_cannot_be_painted_is_refused_before_the_model_is_loaded():
    tried = python("-c", TRY_THEM, json.dumps([*REFUSED]))
    assert not tried.stderr, tried.stderr
    refusals = dict(map(json.loads, tried.stdout.splitlines()))
    assert refusals.keys() == REFUSED.keys()
    for line, message in REFUSED.items():
        assert f"demo: {message}" in refusals[line]


def test_a_picture_is_enlarged_and_kept(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    assert (
        python(
            "-m", "demo", "panorama", "--method", "multidiffusion", *SMALL, "--steps", "6", "--out", str(small)
        ).returncode
        == 0
    )
    psnr = {}
    for structure in ("1", "0"):
        options = ("--structure", structure, "--steps", "4", "--prompt", "summer day sky meadow", "--moving")
        done = python("-m", "demo", "enlarge", "--image", str(small), *options, "--out", str(large))
        assert done.returncode == 0, done.stderr
        psnr[structure] = json.loads(done.stdout.splitlines()[-1])["psnr"]
    assert Image.open(large).size == (384, 256)
    assert "transparency" not in done.stderr
    Image.open(small).convert("RGBA").save(small)
    done = python("-m", "demo", "enlarge", "--image", str(small), "--steps", "1", "--out", str(large))
    assert f"--image: {small} has transparency, which is left out" in done.stderr
    assert psnr["1"] > psnr["0"] + 5

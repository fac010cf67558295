"""The benchmark against peers: it loads packs from folders, compares in a small form, and sees what is wrong."""

import subprocess
from pathlib import Path

import pytest
from commands import python
from host import HOST
from joint_diffusion.benchmarks.peers.packs import TiledDiffusion, UltimateUpscale, named
from joint_diffusion.benchmarks.table import read

needs_host = pytest.mark.skipif(HOST is None, reason="needs ComfyUI")
PACK = """
class Node:
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": %r}

    def apply(self, **inputs):
        return (inputs,)

NODE_CLASS_MAPPINGS = {"TiledDiffusion": Node, "UltimateSDUpscaleNoUpscale": Node}
"""
# Three ways to be wrong: no windows, no result, and windows that are asked without the prompt.
WRONG_PACK = """
import sys
import torch

class Node:
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": dict.fromkeys(
            ("model", "method", "tile_width", "tile_height", "tile_overlap", "tile_batch_size")
        )}

    def apply(self, model, method, **_):
        if method == "Mixture of Diffusers":
            sys.exit("gone\\nwith a second line")
        if method == "SpotDiffusion":
            model = model.clone()
            model.set_model_unet_function_wrapper(self.windows)
        return (model,)

    def windows(self, apply, args):
        told = args["c"] | {"c_crossattn": torch.zeros_like(args["c"]["c_crossattn"])}
        return torch.cat([apply(view, args["timestep"], **told) for view in args["input"].split(8, -1)], -1)

NODE_CLASS_MAPPINGS = {"TiledDiffusion": Node}
"""


def pack(folder: Path, text: str) -> Path:
    (folder / "__init__.py").write_text(text)
    return folder


def inputs(names) -> dict:
    return {name: ("INT", {"default": 7}) for name in names}


def test_a_folder_without_the_node_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"--peer: must be the folder of a ComfyUI pack, got .*no __init__\.py"):
        TiledDiffusion(tmp_path, "--peer")
    pack(tmp_path, "NODE_CLASS_MAPPINGS = {}")
    with pytest.raises(SystemExit, match=r"a node TiledDiffusion that takes model, method, .*which has no such node"):
        TiledDiffusion(tmp_path, "--peer")
    with pytest.raises(
        SystemExit, match=r"--ultimate-upscale: .* a node UltimateSDUpscaleNoUpscale that takes upscaled"
    ):
        UltimateUpscale(tmp_path, "--ultimate-upscale")


def test_a_node_of_other_inputs_is_refused_by_their_names(tmp_path):
    pack(tmp_path, PACK % inputs(("model", "scale")))
    with pytest.raises(SystemExit, match="whose node takes model, scale"):
        TiledDiffusion(tmp_path, "--peer")


def test_a_tiled_node_is_asked_for_the_same_windows_in_pixels(tmp_path):
    pack(tmp_path, PACK % inputs(TiledDiffusion.arguments))
    given = ("model", "MultiDiffusion", 512, 512, 256, 8)
    asked = TiledDiffusion(tmp_path, "--peer").patch("model", 64, 32, 8)
    assert asked == dict(zip(TiledDiffusion.arguments, given, strict=True))


def test_a_node_by_tiles_is_at_its_defaults_where_nothing_is_said(tmp_path):
    pack(tmp_path, PACK % inputs(UltimateUpscale.arguments))
    ksampler = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "karras"}
    sides = {"tile": 120, "padding": 8, "blur": 2}
    peer = UltimateUpscale(tmp_path, "--ultimate-upscale")
    asked = peer.refine("image", "model", "vae", ("yes", "no"), denoise=0.2, **sides, **ksampler)
    assert set(asked) == set(UltimateUpscale.arguments)
    assert (
        asked.items() >= {"tile_width": 120, "tile_height": 120, "denoise": 0.2, "positive": "yes", **ksampler}.items()
    )
    assert asked["seam_fix_width"] == asked["batch_size"] == 7


def test_nothing_is_downloaded_for_a_pack(tmp_path):
    pack(tmp_path, "raise AssertionError('was loaded')")
    (tmp_path / UltimateUpscale.script).mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"ultimate_sd_upscale is empty; clone the pack with --recurse-submodules"):
        UltimateUpscale(tmp_path, "--ultimate-upscale")


def test_a_pack_is_named_with_its_version_and_its_commit(tmp_path):
    (folder := tmp_path / "Some-Pack").mkdir()
    assert named(folder) == "Some-Pack"
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.7.1"\n')
    assert named(folder) == "Some-Pack 1.7.1"
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    assert named(folder) == f"Some-Pack 1.7.1 {commit}"


def compared(folder: Path, *arguments: str) -> dict[str, dict[str, dict[str, str]]]:
    """The tables of one run, by their names: what the cells hold, by row and column."""
    done = python("-m", "benchmarks.peers", "--results", str(folder), *arguments)
    assert done.returncode == 0, done.stderr
    tables = {}
    for path in folder.glob("*.csv"):
        comments, lines = read(path)
        assert "ComfyUI " in comments[1]
        for line in lines:
            tables.setdefault(path.stem, {}).setdefault(line["row"], {})[line["metric"]] = line["value"]
    return tables


@needs_host
def test_pictures_are_compared_without_any_peer(tmp_path):
    memory = "--memory" if Path("/proc/self/clear_refs").exists() else "--no-memory"
    tables = compared(tmp_path, "--parts", "panoramas", "enlarging", "--columns", "2", "--steps", "2", memory)
    assert set(tables) == {"peers-strip", "peers-canvas", "peers-wrapped", "peers-enlarge"}
    plain, ours, moving = "plain sampling, without windows", "Panorama Windows", "Panorama Windows, moving"
    views = {
        name: {row: float(cells["views denoised"]) for row, cells in table.items() if "views denoised" in cells}
        for name, table in tables.items()
    }
    assert 4 <= views["peers-strip"].pop(moving) <= 6
    assert views["peers-strip"] == {plain: 2, "Context Windows": 6, ours: 6}
    assert set(views["peers-canvas"]) == {plain, ours, moving, "Multi-Scale Guidance, moving"}
    assert views["peers-canvas"][ours] == 2 * 9
    assert views["peers-wrapped"][ours] == 2 * 4
    assert set(views["peers-enlarge"]) == {"bicubic", "Joint Upscale", "Joint Upscale, overlapping windows"}
    for table in tables.values():
        for row, cells in table.items():
            assert 0 < float(cells["seam energy"]) < 10
            if memory == "--memory" and row != "true pictures":
                assert 0 <= float(cells["peak memory, MiB"]) < 500
    assert float(tables["peers-strip"][plain]["times plain sampling"]) == 1
    assert float(tables["peers-enlarge"]["Joint Upscale"]["PSNR"]) > 20
    assert "PSNR" not in tables["peers-enlarge"]["true pictures"]


@needs_host
def test_what_is_wrong_is_seen_and_ends_no_run(tmp_path):
    wrong = pack(tmp_path, WRONG_PACK)
    cases = ["a strip of 4", "a canvas of 2", "ControlNet, a batch", "80 x 48"]
    tables = compared(tmp_path, "--tiled-diffusion", str(wrong), "--parts", "inputs", "--cases", *cases)
    strip, canvas, batch = tables["peers-inputs"].values()
    assert strip["Panorama Windows"] == strip["Panorama Windows, moving"] == strip["Context Windows"] == "right"
    assert canvas["Context Windows"] == "not supported"
    assert batch["Panorama Windows"] == batch["Panorama Windows, moving"] == "right"
    assert strip["TiledDiffusion, MultiDiffusion"] == strip["TiledDiffusion, SpotDiffusion"] == "silently wrong"
    assert strip["TiledDiffusion, Mixture of Diffusers"] == "error"
    whys = {row: cells["why"] for row, cells in tables["peers-messages"].items() if row.startswith("a strip of 4")}
    assert [why.partition(":")[0] for why in whys.values()][:1] == ["windows ignored"]
    assert "SystemExit: gone" in whys.values()
    assert any(why.startswith("differs from what it should be by") for why in whys.values())
    assert tables["peers-pictures"] == {"a picture of 80 x 48 pixels": {"Joint Upscale": "right"}}

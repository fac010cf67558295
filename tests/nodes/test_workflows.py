"""The shipped workflows on the real server, and against the command line."""

import copy
import json
import urllib.parse
from itertools import combinations

import numpy as np
import pytest
from browser import front_end, why_not
from comfy_server import PACK, PromptFailed
from commands import python
from host import ROOT
from nested_levels import assert_levels_nest
from PIL import Image

FOLDER = ROOT / "workflows"
PROMPTS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("api/*.json"))}
DEMOS = [name for name in PROMPTS if name.endswith("_demo")]
PANORAMAS = [name for name in DEMOS if "panorama" in name]
CHECKPOINTS = sorted(set(PROMPTS) - set(DEMOS))


SAVING = "SaveImage", "SavePanorama"
STEPS = 8  # of twenty or thirty: what is asked of panoramas and zooms is true of such ones, too


def quick(prompt):
    """The same in fewer steps."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = STEPS
    return prompt


def node_of(prompt, *types):
    """The last node of one of these types, which is the one that makes the panorama."""
    return [key for key, node in prompt.items() if node["class_type"] in types][-1]


@pytest.fixture(scope="module")
def painted(server):
    """(name, output node) -> the picture (H, W, 3) that a workflow shows there, 8 bits; each workflow runs once."""
    runs = {}

    def paint(name, output=None):
        if name not in runs:
            runs[name] = server.run(quick(PROMPTS[name]) if name in PANORAMAS else PROMPTS[name])
        (picture,) = server.images(runs[name], node_of(PROMPTS[name], *([output] if output else SAVING)))
        return (picture * 255).round().astype(np.uint8)

    return paint


def without_sync(prompt):
    prompt = quick(prompt)
    prompt[node_of(prompt, "SyncGuidance")]["inputs"]["weight"] = 0.0
    return prompt


def test_there_are_workflows_for_the_demo_model_and_for_checkpoints():
    demos = {f"panorama_{topic}_demo" for topic in ("msd", "360", "sync", "360_sync", "twin", "layout", "full")}
    assert demos | {"panorama_demo", "image_to_panorama_demo", "twin_images_demo"} <= set(DEMOS)
    assert {"zoom_demo", "zoom_photograph_demo"} <= set(DEMOS)
    assert "zoom_sdxl" in CHECKPOINTS
    sd15 = {"panorama_sd15", "panorama_sync_sd15", "panorama_controlnet_sd15"}
    assert sd15 | {"panorama_sdxl", "panorama_full_sdxl"} <= set(CHECKPOINTS)
    assert {"upscale_demo", "panorama_upscale_demo"} <= set(DEMOS)
    assert {"upscale_tile_sd15", "upscale_sdxl", "upscale_flux", "refine_sdxl", "texture_sd15"} <= set(CHECKPOINTS)


@pytest.fixture(scope="module")
def known(server):
    """All nodes of the server."""
    return server.get_json("/object_info")


@pytest.mark.parametrize("name", PROMPTS)
def test_the_server_knows_every_node_and_input(known, name):
    for node in PROMPTS[name].values():
        fields = known[node["class_type"]]["input"]
        required, optional = fields.get("required", {}), fields.get("optional", {})
        given = {name.partition(".")[0] for name in node["inputs"]}  # what a choice shows is named after it
        assert required.keys() <= given <= required.keys() | optional.keys(), node["class_type"]


@pytest.mark.parametrize("name", PROMPTS)
def test_the_template_browser_shows_it(server, name):
    assert name in server.get_json("/api/workflow_templates")[PACK]
    for suffix in ("json", "jpg"):
        served = server.get(f"/api/workflow_templates/{PACK}/{name}.{suffix}")
        assert served == (FOLDER / f"{name}.{suffix}").read_bytes()


FILES = {  # the folder of what a loader loads
    "CheckpointLoaderSimple": "checkpoints",
    "ControlNetLoader": "controlnet",
    "UNETLoader": "diffusion_models",
    "CLIPLoader": "text_encoders",
    "DualCLIPLoader": "text_encoders",
    "VAELoader": "vae",
    "LoraLoaderModelOnly": "loras",
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_prompt_for_a_checkpoint_is_accepted(server, name):
    """The host checks every value and link of a prompt before it runs. Empty files get it past that, and no further."""
    prompt = PROMPTS[name]
    for node in prompt.values():
        folder = server.base / "models" / FILES.get(node["class_type"], "")
        for file in node["inputs"].values():
            if str(file).endswith(".safetensors"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
    server.add_input("example.png", np.zeros((64, 64, 3), dtype=np.float32))
    with pytest.raises(PromptFailed, match=rf"^({'|'.join(FILES)}): "):
        server.run(prompt)


ENLARGING = {"upscale_sdxl": 2, "upscale_flux": 2, "refine_sdxl": 1, "texture_sd15": 2}


@pytest.mark.parametrize("name", ENLARGING)
def test_a_prompt_that_enlarges_runs_with_the_demo_model_in_the_place_of_the_checkpoint(server, name):
    prompt = quick(PROMPTS[name])
    small = {"steps": 2, "upscale_by": ENLARGING[name], "width": 128, "height": 128}
    for node in prompt.values():
        if node["class_type"] == "CheckpointLoaderSimple":
            node |= {"class_type": "LoadDemoModel", "inputs": {}}
        node["inputs"] |= {key: value for key, value in small.items() if node["inputs"].get(key)}
    server.add_input("example.png", np.tile(np.linspace(0, 1, 128), (128, 1))[..., None].repeat(3, -1))
    (picture,) = server.images(server.run(prompt), node_of(prompt, "SaveImage"))
    assert picture.shape == (128 * ENLARGING[name], 128 * ENLARGING[name], 3)
    if name == "texture_sd15":
        for edges, inside in ((picture[0] - picture[-1], 0), (picture[:, 0] - picture[:, -1], 1)):
            assert np.abs(edges).mean() < 2 * np.abs(np.diff(picture, axis=inside)).mean()


@pytest.mark.parametrize("name", PANORAMAS)
def test_it_paints_a_panorama(painted, name):
    canvas = PROMPTS[name][node_of(PROMPTS[name], "PanoramaLatent")]["inputs"]
    picture, larger = painted(name), 2 if "upscale" in name else 1
    assert picture.shape == (larger * canvas["height"], larger * canvas["width"], 3)
    quarters = np.split(picture / 255, 4, axis=1)
    assert min(quarter.std() for quarter in quarters) > 0.05, "a part of the panorama is flat"


@pytest.mark.parametrize("name", [name for name in PANORAMAS if "360" in name])
def test_the_edges_of_the_360_panorama_meet(painted, name):
    def meet(picture):
        """The step over the edges is none of the largest between two columns."""
        steps = np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2))
        return np.abs(picture[:, 0] - picture[:, -1]).mean() < 1.2 * steps.max()

    picture = painted(name) / 255
    assert meet(picture)
    assert not meet(picture[:, : picture.shape[1] // 2])


def test_viewers_know_the_360_panorama_as_a_sphere(painted, server):
    """GPano says so in the file, and the picture is half as high as wide."""
    picture = painted("panorama_360_demo")
    assert picture.shape[1] == 2 * picture.shape[0]
    file = next((server.base / "output").glob("panorama_360_demo*.png"))
    assert 'GPano:ProjectionType="equirectangular"' in Image.open(file).info["xmp"].decode()


@pytest.mark.parametrize("name", [name for name in PANORAMAS if "sync" in name])
def test_the_parts_of_a_synchronised_panorama_have_one_palette(painted, server, name):
    unguided = server.images(server.run(without_sync(PROMPTS[name])), node_of(PROMPTS[name], "SaveImage"))[0]

    def differences(picture):
        means = [part.mean(axis=(0, 1)) for part in np.split(picture, 8, axis=1)]
        return np.mean([np.abs(one - other).mean() for one, other in combinations(means, 2)])

    assert differences(painted(name) / 255) < 0.5 * differences(unguided)


def test_each_prompt_of_the_layout_is_painted_in_its_part(painted, server):
    """Swapping the words left and right moves the water: it is bluer than what is painted there instead."""
    prompt = quick(PROMPTS["panorama_layout_demo"])
    left, right = (
        next(node for node in prompt.values() if node["_meta"]["title"] == title) for title in ("Left", "Right")
    )
    left["inputs"]["text"], right["inputs"]["text"] = right["inputs"]["text"], left["inputs"]["text"]
    swapped = server.images(server.run(prompt), node_of(prompt, "SaveImage"))[0]

    def blue(picture):
        low = picture[picture.shape[0] // 2 :, : picture.shape[1] // 4]
        return (low[..., 2] - low[..., :2].mean(axis=-1)).mean()

    assert blue(painted("panorama_layout_demo") / 255) > blue(swapped) + 0.05


def test_the_seasons_pass_along_the_panorama(painted):
    """The ground below is green, then red, then white; in the middle of each place its prompt is alone."""
    ground = painted("panorama_360_seasons_demo")[104:] / 255
    spring, summer, autumn, winter = (part[:, 96:160].mean((0, 1)) for part in np.split(ground, 4, axis=1))
    assert spring[1] > spring[0] > 1.5 * spring[2]
    assert autumn[0] > autumn[1] > 1.5 * autumn[2]
    assert summer[1] - summer[0] > autumn[1] - autumn[0]
    assert winter.min() > 0.8 * winter.max()


def test_the_twin_fits_its_neighbour_better(server):
    """Above, the second picture lies over the right part of the first; below, its twin. Over four seeds."""
    prompt, steps = copy.deepcopy(PROMPTS["twin_images_demo"]), []
    for seed in range(5, 9):
        prompt[node_of(prompt, "TwinImages")]["inputs"]["seed"] = seed
        (picture,) = server.images(server.run(prompt), node_of(prompt, "SaveImage"))
        height, edge = (picture.shape[0] - 8) // 2, picture.shape[1] // 3
        pairs = picture[:height], picture[-height:]
        steps.append([np.abs(pair[:, edge] - pair[:, edge - 1]).mean() for pair in pairs])
    second, twin = np.mean(steps, axis=0)
    assert twin < 0.5 * second


def test_the_picture_stays_in_the_middle_of_its_panorama(painted):
    """Sampling may not touch it: what differs is what the VAE does to a picture."""
    alone, panorama = (painted("image_to_panorama_demo", output) / 255 for output in ("PreviewImage", None))
    side, middle = alone.shape[1], panorama.shape[1] // 2
    inside = panorama[:, middle - side // 2 : middle + side // 2]
    # 32 pixels at the edges may change, and next to them the decoder sees what did.
    difference = np.abs(inside - alone)[:, 64:-64]
    assert difference.mean() < 0.03


def test_no_edge_is_seen_where_the_panorama_leaves_the_picture(painted):
    """Columns at the two edges differ little from those beside them; without Differential Diffusion, by a third."""
    alone, panorama = (painted("image_to_panorama_demo", output) / 255 for output in ("PreviewImage", None))
    steps, middle = np.abs(np.diff(panorama, axis=1)).mean(axis=(0, 2)), panorama.shape[1] // 2

    def edge(x):
        return steps[x - 3 : x + 3].mean() / np.r_[steps[x - 20 : x - 6], steps[x + 6 : x + 20]].mean()

    side = alone.shape[1]
    assert (edge(middle - side // 2) + edge(middle + side // 2)) / 2 < 1.2


@pytest.mark.parametrize(("name", "count"), [("zoom_demo", 8), ("zoom_photograph_demo", 3)])
def test_a_zoom_nests_and_is_seen_as_a_video_and_in_the_explorer(server, name, count):
    prompt = quick(PROMPTS[name])
    run = server.run(prompt)
    shown = run.outputs[node_of(prompt, "ExploreZoomStack")]
    (stack,) = shown["zoom_stack"]
    assert stack["zoom_factor"] == 2
    assert len(stack["captions"]) == count
    run.outputs["levels"] = {"images": shown["zoom_levels"]}
    levels = server.images(run, "levels")
    assert levels.shape == (count, 128, 128, 3)
    assert levels.std(axis=(1, 2)).max(axis=-1).min() > 0.02
    assert_levels_nest(levels)
    (video,) = run.outputs[node_of(prompt, "ZoomVideo")]["images"]
    assert server.get(f"/view?{urllib.parse.urlencode(video)}")
    if name == "zoom_photograph_demo":
        (photograph,) = server.images(run, node_of(prompt, "PreviewImage"))
        assert np.abs(levels[0] - photograph).mean() < 0.05


@pytest.mark.parametrize(
    ("name", "method", "sampler"),
    [
        ("panorama_demo", "multidiffusion", "KSampler"),
        ("panorama_msd_demo", "msd", "MultiScaleSampler"),
        ("panorama_sync_demo", "sync", "KSampler"),
        ("panorama_twin_demo", "twin", "KSampler"),
    ],
)
def test_the_command_line_paints_the_same_picture(painted, tmp_path, name, method, sampler):
    prompt = PROMPTS[name]
    sampling = prompt[node_of(prompt, sampler)]["inputs"]
    canvas = prompt[node_of(prompt, "PanoramaLatent")]["inputs"]
    overlap = prompt[node_of(prompt, "PanoramaWindows")]["inputs"]["overlap"]
    options = {
        "method": method,
        "prompt": prompt[sampling["positive"][0]]["inputs"]["text"],
        "seed": sampling["seed"],
        "steps": STEPS,
        "cfg": sampling["cfg"],
        "width": canvas["width"],
        "height": canvas["height"],
        "stride": round(16 * (1 - overlap)),
        "out": tmp_path / "cli.png",
    }
    done = python(
        "-m", "demo", "panorama", *(word for key, value in options.items() for word in (f"--{key}", str(value)))
    )
    assert done.returncode == 0, done.stderr
    difference = np.abs(painted(name).astype(int) - np.asarray(Image.open(options["out"])).astype(int))
    assert difference.max() <= 1, "more than what the cut to 8 bits can do"
    assert difference.mean() / 255 < 1e-3


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_the_front_end_makes_the_api_file_of_the_workflow_file(server):
    with front_end(server) as editor:
        for name, prompt in PROMPTS.items():
            address = f"/api/workflow_templates/{urllib.parse.quote(PACK)}/{name}.json"
            editor.load(json.loads(server.get(address)))
            workflow, made = editor.serialised()
            assert made == prompt, name
            original = json.loads((FOLDER / f"{name}.json").read_text())
            assert [node["pos"] for node in workflow["nodes"]] == [node["pos"] for node in original["nodes"]]

"""What lies in workflows/, read as files: complete, legible, and nothing else there."""

import itertools
import json
import tomllib

import pytest
from host import ROOT
from PIL import Image

FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
OURS = {path.stem for path in (ROOT / "web" / "docs").glob("*.md")}  # every node has its help page
REGISTERED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
TITLE = 30  # pixels that the title bar of a node stands above its position


def read(name, folder=FOLDER):
    return json.loads((folder / f"{name}.json").read_text())


def box(node):
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE, left + width, top + height


def apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_every_workflow_has_its_three_files_and_there_is_nothing_else():
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == {file for name in NAMES for file in (f"{name}.json", f"{name}.jpg", f"api/{name}.json")}


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_legible(name):
    workflow = read(name)
    assert workflow["version"] == 0.4
    for one, other in itertools.combinations(workflow["nodes"], 2):
        assert apart(box(one), box(other)), f"{one['type']} and {other['type']} overlap"
    where = {node["id"]: node["pos"][0] for node in workflow["nodes"]}
    backwards = [link for link in workflow["links"] if where[link[1]] >= where[link[3]]]
    # The picture of image_to_panorama is made in a row of its own and comes back once, to the row below.
    rows_below = {"image_to_panorama_demo": 1, "panorama_upscale_demo": 2}
    assert len(backwards) <= rows_below.get(name, 0), f"links from right to left: {backwards}"
    (note,) = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    (text,) = note["widgets_values"]
    assert "**Change:**" in text
    assert "**Expect:**" in text


@pytest.mark.parametrize("path", [FOLDER / f"{name}.json" for name in NAMES] + BLUEPRINTS, ids=lambda path: path.stem)
def test_it_names_the_pack_so_that_a_person_without_it_can_install_it(path):
    file = json.loads(path.read_text(encoding="utf-8"))
    graphs = [file, *file.get("definitions", {}).get("subgraphs", [])]
    ours = [node for graph in graphs for node in graph["nodes"] if node["type"] in OURS]
    assert ours
    assert {node["properties"].get("cnr_id") for node in ours} == {REGISTERED}


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_hold_the_same_nodes_and_links(name):
    workflow, prompt = read(name), read(name, FOLDER / "api")
    nodes = {str(node["id"]): node["type"] for node in workflow["nodes"] if node["type"] != "MarkdownNote"}
    assert {key: node["class_type"] for key, node in prompt.items()} == nodes
    assert all(node["_meta"]["title"] for node in prompt.values())
    links = {(str(source), slot, str(target)) for _, source, slot, target, *_ in workflow["links"]}
    used = {
        (*value, key) for key, node in prompt.items() for value in node["inputs"].values() if isinstance(value, list)
    }
    assert links == used


@pytest.mark.parametrize("name", NAMES)
def test_the_thumbnail_is_small_and_square(name):
    path = FOLDER / f"{name}.jpg"
    with Image.open(path) as image:
        assert image.size == (512, 512)
    assert path.stat().st_size < 64 * 1024


def test_only_360_degrees_and_textures_wrap():
    wraps = {
        name
        for name in NAMES
        for node in read(name, FOLDER / "api").values()
        if node["inputs"].get("wrap_x") or node["inputs"].get("wrap_y")
    }
    panoramas = {f"panorama_360_{what}" for what in ("demo", "sync_demo", "seasons_demo", "qwen_image")}
    assert wraps == panoramas | {"texture_sd15", "texture_z_image", "video_360_wan"}

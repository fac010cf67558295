"""The pack as the real server loads it: its nodes, their help, and what a too old host says."""

import asyncio
import logging
import re
import tomllib

import comfyui_version
import pytest
from comfy_api.latest import io
from comfy_server import PACK
from host import ROOT
from joint_diffusion.nodes import entry

NODES = {node.GET_SCHEMA().node_id: node for node in asyncio.run(entry.joint_diffusion_extension().get_node_list())}
ALIASES = {"panorama", "360", "multidiffusion", "tiled diffusion"}


def every_input(node_id):
    """The inputs of a node, and those that a choice among them shows."""
    inputs = NODES[node_id].GET_SCHEMA().inputs
    choices = [field for field in inputs if isinstance(field, io.DynamicCombo.Input)]
    return inputs + [field for choice in choices for option in choice.options for field in option.inputs]


def test_the_pack_loads_without_a_complaint(server):
    start = server.log.partition("To see the GUI go to")[0]  # later tests queue prompts that are meant to fail
    bad = [
        line for line in start.splitlines() if re.search(r"IMPORT FAILED|\[ERROR\]|comfy_entrypoint|Traceback", line)
    ]
    assert not bad, "\n".join(bad)
    assert PACK in start


@pytest.mark.parametrize("node_id", NODES)
def test_a_node_explains_itself(server, node_id):
    info = server.get_json(f"/object_info/{node_id}")[node_id]
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    untold = [name for name, (_, *options) in inputs.items() if not (options and options[0].get("tooltip"))]
    untold += [field.id for field in every_input(node_id) if not field.tooltip]
    assert not untold, f"inputs without a tooltip: {untold}"
    assert all(info["output_tooltips"])
    assert info["description"]
    assert info["search_aliases"]
    assert info["category"].split("/")[0] == "joint diffusion"
    assert info["display_name"] != node_id


def test_people_find_the_pack_by_the_usual_words():
    assert {alias for node in NODES.values() for alias in node.GET_SCHEMA().search_aliases} >= ALIASES


@pytest.mark.parametrize("node_id", NODES)
def test_the_help_page_names_every_input(server, node_id):
    page = server.get(f"/extensions/{PACK}/docs/{node_id}.md").decode()
    missing = [field.id for field in every_input(node_id) if f"`{field.id}`" not in page]
    assert not missing, f"not on the help page: {missing}"


def test_the_needed_version_is_declared_for_the_registry():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["comfy"]["requires-comfyui"] == f">={'.'.join(map(str, entry.REQUIRED))}"


@pytest.mark.parametrize("version", ["0.3.64", "0.18.9", "0.18", "of unknown version"])
def test_an_old_host_reads_one_line(version, monkeypatch, caplog):
    """As the host prints it: `load_custom_node` logs the exception that comfy_entrypoint raised."""
    import nodes as host_nodes

    monkeypatch.setattr(comfyui_version, "__version__", version)
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(host_nodes.load_custom_node(str(ROOT))) is False
    (record,) = [record for record in caplog.records if "comfy_entrypoint" in record.message]
    assert f"needs ComfyUI {'.'.join(map(str, entry.REQUIRED))} or newer, but this one is {version}" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize("version", ["0.19.0", "0.33.0", "1.0", "0.33.0+local.5"])
def test_a_new_host_is_accepted(version):
    entry.require_host(version)

"""Blueprints, which are whole jobs as one node: listed by the server, added by search in the front end, and run."""

import io
import json
import urllib.parse

import pytest
from browser import front_end, why_not
from comfy_server import PACK
from host import ROOT
from PIL import Image

FILES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "subgraphs").glob("*.json")}
# What makes a job small enough for a test, with the bundled model.
SMALL = {"steps": 2, "cfg": 2.0, "prompt": "winter dawn lake"}
JOBS = {
    "Joint Panorama": SMALL | {"width": 384, "height": 256},
    "Joint 360 Panorama": SMALL | {"width": 512, "height": 128},
    "Joint Enlarge": SMALL | {"upscale_by": 1.5},
    "Joint Zoom Video": {
        "steps": 2,
        "preset": "own prompts",
        "prompts": "far lake\nwide lake",
        "seconds_per_level": 0.2,
    },
}
SIZES = {
    "Joint Panorama": [(384, 256)],
    "Joint 360 Panorama": [(512, 128)],
    "Joint Enlarge": [(192, 192)],
    "Joint Zoom Video": [(128, 128)] * 2,
}

# The list of what has been typed to the end: earlier ones have more, and move away under the pointer.
FOUND = """name => {
  const found = [...document.querySelectorAll('[data-testid=result-item]')].map(item => item.innerText.split('\\n')[0])
  return found[0] === name && found.length <= 2
}"""

CONNECT = """([name, values]) => {
  const job = app.graph.nodes.find(node => node.title === name)
  const add = (type) => { const node = LiteGraph.createNode(type); app.graph.add(node); return node }
  const model = add('LoadDemoModel'), slot = (field) => job.inputs.findIndex(input => input.name === field)
  for (const [index, field] of ['model', 'clip', 'vae'].entries())
    if (!model.connect(index, job, slot(field))) throw new Error(`cannot connect ${field}`)
  if (slot('image') >= 0) {
    const picture = add('EmptyImage')
    Object.assign(picture.widgets.find(widget => widget.name === 'width'), {value: 128})
    Object.assign(picture.widgets.find(widget => widget.name === 'height'), {value: 128})
    picture.connect(0, job, slot('image'))
  }
  for (const [field, value] of Object.entries(values)) {
    const widget = job.widgets.find(widget => widget.name === field)
    if (!widget) throw new Error(`no field ${field}`)
    widget.value = value
  }
  const images = job.outputs.findIndex(output => output.type === 'IMAGE')
  job.connect(images, add('PreviewImage'), 0)
}"""


def size(server, image):
    with Image.open(io.BytesIO(server.get(f"/view?{urllib.parse.urlencode(image)}"))) as picture:
        return picture.size


def test_there_are_those_that_are_tested_and_that_documents_name():
    assert FILES.keys() == JOBS.keys()
    for document in ("README.md", "docs/which_node.md"):
        text = (ROOT / document).read_text(encoding="utf-8").replace("\n", " ")
        assert [name for name in FILES if f"**{name}**" not in text] == [], document


@pytest.mark.parametrize("name", FILES)
def test_a_blueprint_is_one_node(name):
    """Else the front end refuses it. Sockets stand before fields, and it says what it does."""
    blueprint = FILES[name]
    (node,), (subgraph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"]
    assert subgraph["name"] == node["title"] == name
    assert subgraph["description"]
    are_fields = ["widget" in found for found in node["inputs"]]
    assert are_fields == sorted(are_fields)


def test_the_server_lists_them(server):
    listed = server.get_json("/global_subgraphs")
    ours = {key: found for key, found in listed.items() if found["info"]["node_pack"] == f"custom_nodes.{PACK}"}
    assert {found["name"] for found in ours.values()} == FILES.keys()
    for key, found in ours.items():
        assert found["source"] == "custom_node"
        assert json.loads(server.get_json(f"/global_subgraphs/{key}")["data"]) == FILES[found["name"]]


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2"])
def editor(request, server):
    if why_not() is not None:
        pytest.skip(str(why_not()))
    with front_end(server, vue=request.param) as opened:
        yield opened


@pytest.mark.parametrize("name", JOBS)
def test_a_person_finds_one_adds_it_and_runs_it(editor, server, name):
    page = editor.page
    editor.complaints.clear()
    editor.build({})
    page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.wait_for_function("document.activeElement.tagName === 'INPUT'")
    page.keyboard.type(name)
    page.wait_for_function(FOUND, arg=name)
    page.get_by_test_id("result-item").first.click()
    page.wait_for_function("app.graph.nodes.length === 1")
    page.wait_for_timeout(300)  # until the search box is gone, and the new node hangs on the pointer
    page.mouse.click(800, 500)  # puts it down
    page.wait_for_function("!app.graph.nodes[0].flags.ghost")
    page.evaluate(CONNECT, [name, JOBS[name]])
    _, prompt = editor.serialised()
    sent = [(field, value) for node in prompt.values() for field, value in node["inputs"].items()]
    for field, value in JOBS[name].items():
        assert ("text" if field == "prompt" else field, value) in sent
    wrapping = [node["class_type"] for node in prompt.values() if node["inputs"].get("wrap_x")]
    assert sorted(wrapping) == (["PanoramaDecode", "PanoramaWindows"] if "360" in name else [])
    outputs = editor.queue()
    preview = page.evaluate("String(app.graph.nodes.find(node => node.type === 'PreviewImage').id)")
    assert [size(server, image) for image in outputs[preview]["images"]] == SIZES[name]
    if name == "Joint Zoom Video":
        assert any(image["filename"].endswith(".mp4") for output in outputs.values() for image in output["images"])
    assert not editor.complaints

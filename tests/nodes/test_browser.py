"""The pack in the real front end: searched, dropped, connected, queued and looked up, with both of its renderers."""

import tomllib

import pytest
from browser import front_end, why_not
from comfy_server import PACK
from host import ROOT
from PIL import Image

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

NAMES = {
    "LoadDemoModel": "Load Demo Model",
    "PanoramaLatent": "Panorama Latent",
    "PanoramaPrompts": "Panorama Prompts",
    "PanoramaWindows": "Panorama Windows",
    "PanoramaPlan": "Panorama Plan",
    "MultiScaleSampler": "Multi-Scale Sampler",
    "MultiScaleGuidance": "Multi-Scale Guidance",
    "SyncGuidance": "Sync Guidance",
    "TwinCropFusion": "Twin Crop Fusion",
    "TwinImages": "Twin Images",
    "JointUpscale": "Joint Upscale",
    "StructureGuidance": "Structure Guidance",
    "PanoramaEncode": "Panorama Encode",
    "PanoramaDecode": "Panorama Decode",
    "SavePanorama": "Save Panorama",
    "PanoramaMetrics": "Panorama Metrics",
    "RayWorkers": "Ray Workers",
    "ZoomPrompts": "Zoom Prompts",
    "ZoomStackSampler": "Zoom Stack Sampler",
    "ZoomVideo": "Zoom Video",
    "ZoomFrames": "Zoom Frames",
    "ExploreZoomStack": "Explore Zoom Stack",
}

REGISTERED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
RESULT = "[data-testid=result-item]"
NOTHING = "zzqqxx"  # finds no node
# What people type who do not know the names: the nodes that each word must find.
WORDS = {
    "panorama": {"PanoramaWindows", "PanoramaLatent", "PanoramaDecode", "MultiScaleSampler", "SyncGuidance"},
    "big image": {"PanoramaWindows", "PanoramaLatent", "MultiScaleSampler", "JointUpscale", "SavePanorama"},
    "wide": {"PanoramaWindows", "PanoramaLatent", "MultiScaleSampler"},
    "large": {"PanoramaWindows", "PanoramaLatent", "PanoramaDecode", "MultiScaleSampler", "JointUpscale"},
    "hires": {"PanoramaWindows", "MultiScaleSampler", "MultiScaleGuidance", "JointUpscale", "StructureGuidance"},
    "tile": {"PanoramaWindows", "PanoramaDecode", "PanoramaEncode", "JointUpscale", "StructureGuidance"},
    "tiled": {"PanoramaWindows", "PanoramaDecode", "PanoramaEncode", "JointUpscale", "StructureGuidance"},
    "tiling": {"PanoramaWindows", "PanoramaDecode", "PanoramaEncode", "JointUpscale"},
    "regional": {"PanoramaPrompts"},
    "several machines": {"RayWorkers"},
    "context windows": {"PanoramaWindows", "PanoramaPlan"},
    "texture": {"PanoramaWindows", "PanoramaDecode", "JointUpscale"},
    "seamless": {"PanoramaWindows", "PanoramaDecode", "JointUpscale"},
    "wrap": {"PanoramaWindows", "PanoramaDecode", "PanoramaEncode", "JointUpscale"},
    "loop": {"PanoramaWindows", "PanoramaDecode", "ZoomVideo"},
    "360": {"PanoramaWindows", "PanoramaLatent", "PanoramaDecode", "PanoramaPrompts", "PanoramaMetrics"},
    "vr": {"PanoramaWindows", "PanoramaLatent", "PanoramaDecode", "SavePanorama"},
    "equirectangular": {"PanoramaWindows", "PanoramaLatent", "PanoramaDecode", "SavePanorama"},
    "save image": {"SavePanorama"},
    "infinite zoom": {"ZoomPrompts", "ZoomStackSampler", "ZoomVideo", "ZoomFrames", "ExploreZoomStack"},
    "zoom out": {"ZoomPrompts", "ZoomStackSampler", "ZoomVideo", "PanoramaLatent"},
    "outpaint": {"PanoramaLatent", "TwinImages"},
    "upscale": {"JointUpscale", "StructureGuidance"},
    "enlarge": {"JointUpscale", "StructureGuidance"},
    "super resolution": {"JointUpscale"},
    "refine": {"JointUpscale", "StructureGuidance"},
    "img2img": {"PanoramaLatent", "PanoramaEncode", "StructureGuidance"},
    "consistent style": {"SyncGuidance"},
    "seams": {"TwinCropFusion", "PanoramaMetrics"},
    "example": {"LoadDemoModel"},
}


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2"])
def editor(request, server):
    with front_end(server, vue=request.param) as opened:
        opened.vue = request.param
        yield opened


@pytest.fixture(autouse=True)
def no_complaints(editor):
    editor.complaints.clear()
    yield
    assert not editor.complaints


def node(class_type, column, **inputs):
    return {"class_type": class_type, "column": column, "inputs": inputs}


def panorama():
    return {
        "demo": node("LoadDemoModel", 0),
        "positive": node("CLIPTextEncode", 1, clip=["demo", 1], text="winter dawn lake"),
        "negative": node("CLIPTextEncode", 1, clip=["demo", 1], text=""),
        "windows": node("PanoramaWindows", 1, model=["demo", 0]),
        "latent": node("PanoramaLatent", 2, model=["demo", 0], width=512, height=256),
        "sampler": node(
            "MultiScaleSampler",
            3,
            model=["windows", 0],
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=1,
            control_after_generate="fixed",
            steps=2,
            cfg=2.0,
        ),
        "decode": node("PanoramaDecode", 4, samples=["sampler", 0], vae=["demo", 2]),
        "plan": node("PanoramaPlan", 4, model=["windows", 0], samples=["latent", 0]),
        "look": node("PreviewImage", 5, images=["decode", 0]),
        "metrics": node("PanoramaMetrics", 5, images=["decode", 0], model=["windows", 0]),
    }


# The classic renderer loads pictures when it draws.
SHOWS_A_PICTURE = """class_type => {
  const node = app.graph.nodes.find(node => node.type === class_type)
  app.canvas.setDirty(true, true)
  return node.imgs?.length || document.querySelector(`[data-node-id="${node.id}"] img`)
}"""


def show(editor, scale=1.0):
    """Bring the graph's upper left corner into view."""
    editor.page.evaluate(
        "scale => { Object.assign(app.canvas.ds, {scale, offset: [100 / scale, 130 / scale]});"
        " app.canvas.setDirty(true, true) }",
        scale,
    )
    editor.page.wait_for_timeout(300)


def test_there_are_no_other_nodes(server):
    ours = [name for name, info in server.get_json("/object_info").items() if PACK in info["python_module"]]
    assert set(ours) == set(NAMES)


def test_people_find_the_nodes_by_searching(editor):
    page = editor.page
    editor.build({})
    found = page.get_by_test_id("result-item").get_by_text("Panorama Windows").first
    for words in ("360", "tiled diffusion"):
        page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
        page.wait_for_function("document.activeElement.tagName === 'INPUT'")
        page.keyboard.type(words)
        found.wait_for()
        if words == "360":
            page.keyboard.press("Escape")
            found.wait_for(state="detached")
    found.click()
    page.mouse.click(800, 500)  # the new node hangs on the pointer until it is put down
    page.wait_for_function("app.graph.nodes.length === 1")
    assert page.evaluate("app.graph.nodes[0].type") == "PanoramaWindows"


def test_every_node_is_found_by_some_word():
    assert set().union(*WORDS.values()) == set(NAMES)


def test_words_of_people_find_the_nodes(editor):
    """In the list below the search box."""
    if editor.vue:
        pytest.skip("the search is the same in both renderers")
    page, missing = editor.page, {}
    editor.build({})
    page.keyboard.press("Escape")  # the front end still waits for one since the test above put down its node
    page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.wait_for_function("document.activeElement.tagName === 'INPUT'")
    for word, nodes in WORDS.items():
        for typed, empty in ((NOTHING, True), (word, False)):  # first nothing, so that no list of an earlier word stays
            page.keyboard.press("Control+A")
            page.keyboard.insert_text(typed)  # at once, so that there is no list of half a word either
            page.wait_for_function(f"empty => empty === !document.querySelector('{RESULT}')", arg=empty)
        found = page.evaluate(f"[...document.querySelectorAll('{RESULT}')].map(item => item.innerText.split('\\n')[0])")
        missing[word] = {name for name in nodes if NAMES[name] not in found}
    page.keyboard.press("Escape")
    page.wait_for_function(f"!document.querySelector('{RESULT}')")  # it would lie over the graphs of other tests
    assert not {word: lost for word, lost in missing.items() if lost}


def test_every_node_stands_on_the_canvas_with_its_widgets(editor, server):
    editor.build({name: node(name, place) for place, name in enumerate(NAMES)})
    for dropped in editor.page.evaluate(
        "app.graph.nodes.map(({type, title, properties, widgets, inputs}) =>"
        " ({type, title, pack: properties.cnr_id,"
        " names: [...(widgets ?? []), ...(inputs ?? [])].map(({name}) => name)}))"
    ):
        assert dropped["title"] == NAMES[dropped["type"]]
        assert dropped["pack"] == REGISTERED, "a workflow saved with it does not say what to install"
        fields = server.get_json(f"/object_info/{dropped['type']}")[dropped["type"]]["input"]
        shown = {name.split(".")[0] for name in dropped["names"]}  # "levels.level_0" is the first of growing inputs
        assert shown >= fields["required"].keys() | fields.get("optional", {}).keys()
    if editor.vue:
        show(editor, 0.5)
        assert sorted(editor.page.get_by_test_id("node-title").all_inner_texts()) == sorted(NAMES.values())


def test_a_panorama_is_queued_and_shown(editor, tmp_path):
    editor.build(panorama())
    show(editor, 0.6)
    outputs = editor.queue()
    shown = {
        editor.page.evaluate("id => app.graph.getNodeById(id).type", key): output["images"]
        for key, output in outputs.items()
    }
    assert shown.keys() == {"PanoramaPlan", "PanoramaMetrics", "PreviewImage"}
    for class_type in shown:
        editor.page.wait_for_function(SHOWS_A_PICTURE, arg=class_type)
    editor.page.wait_for_timeout(500)
    screenshot = tmp_path / "panorama.png"
    editor.page.screenshot(path=screenshot)
    with Image.open(screenshot) as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 5000, "no picture to be seen"


def test_a_wrong_size_is_reported_at_its_node(editor):
    graph = panorama()
    graph["latent"]["inputs"]["width"] = 524
    editor.build(graph)
    with pytest.raises(RuntimeError, match=r"PanoramaLatent: width: must be a multiple of 8 pixels"):
        editor.queue()
    editor.page.keyboard.press("Escape")  # the front end's own report lies over everything


def test_the_help_pages_open(editor):
    """The pages are the same in both renderers, the ways to them are not."""
    for name in ("LoadDemoModel", "PanoramaWindows") if editor.vue else NAMES:
        editor.build({"node": node(name, 0)})
        show(editor)
        if editor.vue:
            editor.page.get_by_test_id("node-title").click()
        else:
            editor.page.mouse.click(200, 147)  # its title bar
        editor.page.get_by_test_id("info-button").click()
        help_page = editor.page.get_by_test_id("properties-panel")
        help_page.get_by_role("heading", level=1, name=NAMES[name]).wait_for()
        assert help_page.get_by_role("table").count() or name == "LoadDemoModel", name

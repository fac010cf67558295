"""The explorer: what the node sends, its formulas against the core's, what a person sees of it in both renderers."""

import io
import math

import numpy as np
import pytest
import torch
from browser import READY, front_end, why_not
from comfy_server import PACK
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.powers_of_ten import render_image
from joint_diffusion.core.zoom.between_levels import appearance, borders, level_span, render_at, zoom_centre
from joint_diffusion.core.zoom.geometry import nesting
from joint_diffusion.nodes.explore_zoom_stack import ExploreZoomStack
from PIL import Image

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
P, COUNT, SIDE = 2, 4, 256
NODE = {
    "class_type": "ExploreZoomStack",
    "column": 2,
    "inputs": {"images": ["levels", 0], "zoom_factor": P, "pixels_per_cell": 1},
}
# Chromium's kernels are not those of the core, so even smooth levels differ a little; one that is drawn in the wrong
# place differs by more.
TOLERANCE = 2.0  # of 255, mean over the frame


def smooth_levels():
    """Consistent levels of soft blobs, each with colours of its own: (N, 3, H, W) in 8 bits."""
    noise = torch.rand(COUNT, 3, 9, 9, generator=torch.Generator().manual_seed(4))
    blobs = torch.nn.functional.interpolate(noise, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    return (render_image(blobs, P) * 255).round().byte()


@pytest.fixture(scope="module")
def graph(server):
    """Pictures of the input folder, batched, into the explorer."""
    names = [
        server.add_input(f"level{index}.png", level.permute(1, 2, 0).numpy() / 255)
        for index, level in enumerate(smooth_levels())
    ]
    graph = {name: {"class_type": "LoadImage", "column": 0, "inputs": {"image": name}} for name in names}
    inputs = {f"images.image{index}": [name, 0] for index, name in enumerate(names)}
    graph["levels"] = {"class_type": "BatchImagesNode", "column": 1, "inputs": inputs}
    return graph | {"explore": NODE}


def test_it_sends_the_levels_and_how_they_nest(server, graph):
    run = server.run(graph)
    sent = run.outputs["explore"]
    assert "images" not in sent, "the front end would show them twice"
    centre = zoom_centre(nesting(Size(SIDE, SIDE), P), Size(SIDE, SIDE), P)
    assert sent["zoom_stack"] == [{"zoom_factor": P, "centre": {"y": centre.y, "x": centre.x}, "captions": []}]
    levels = smooth_levels().permute(0, 2, 3, 1).numpy()
    for level, saved in zip(levels, sent["zoom_levels"], strict=True):
        query = "&".join(f"{key}={value}" for key, value in saved.items())
        assert saved["type"] == "temp"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(server.get(f"/view?{query}")))), level)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": torch.zeros(1, 16, 16, 3)}, r"images: a zoom has at least 2 levels, got 1"),
        (
            {"images": torch.zeros(2, 16, 20, 3)},
            r"pixels_per_cell: the levels must be a multiple of it, 8, but are 20 x 16 pixels; set",
        ),
        ({"prompts": "far\n\nnear\nnearer"}, r"prompts: must be one line for each of the 2 levels, got 3"),
        ({"zoom_factor": 32}, r"height: a level must be at least zoom_factor = 32"),
    ],
)
def test_what_it_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ExploreZoomStack.execute(**{"images": torch.zeros(2, 16, 16, 3), "zoom_factor": 2} | options)


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2"])
def editor(request, server):
    if why_not():
        pytest.skip(why_not())
    with front_end(server, vue=request.param) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_complaints(request):
    yield
    if "editor" in request.fixturenames:
        editor = request.getfixturevalue("editor")
        assert not editor.complaints
        editor.complaints.clear()


MODULE = f"/extensions/{PACK}/between_levels.mjs"
BOX, NODE_OF = ".zoom-explorer:visible", "app.graph.nodes.find(node => node.type === 'ExploreZoomStack')"
STILL = 700  # ms: longer than the explorer's own movements


in_either_renderer = pytest.mark.parametrize("editor", [False], ids=["classic"], indirect=True)


@needs_browser
@in_either_renderer
def test_the_browser_has_the_formulas_of_the_core(editor):
    cases = [
        (c, zoom_factor, z, k)
        for c in (0.5, 0.47)
        for zoom_factor in (2, 3)
        for z in (0.0, 0.2, 0.5, 0.9, 1.3)
        for k in (0, 1, 2)
    ]
    answers = editor.page.evaluate(
        """async ([module, cases]) => {
          const {levelSpan, borders, appearance} = await import(module)
          return cases.map(([c, p, z, k]) => {
            const span = levelSpan(c, p, z, k)
            return [span.start, span.length, ...borders(span), appearance(z, Math.floor(z) + 1)]
          })
        }""",
        [MODULE, cases],
    )
    for (centre, zoom_factor, zoom, level), answer in zip(cases, answers, strict=True):
        span = level_span(centre, zoom_factor, zoom, level)
        assert answer == pytest.approx([*span, *borders(span), appearance(zoom)], abs=1e-12)


@needs_browser
@in_either_renderer
def test_moving_aside_keeps_the_point_under_the_pointer_and_ends_where_the_levels_do(editor):
    result = editor.page.evaluate(
        """async (module) => {
          const {zoomedAt, limited, levelSpan, layers} = await import(module)
          const stack = {count: 5, zoom_factor: 2, centre: {x: 0.5, y: 0.5}}
          const from = {zoom: 2, x: 0.1, y: -0.2}, at = {x: 0.6, y: 0.4}
          const to = zoomedAt(stack, from, 0.3, at)
          const point = ({zoom, x}) => (at.x - levelSpan(0.5, 2, zoom, 2, x).start) / 2 ** (zoom - 2)
          const uncovered = []
          for (let zoom = 0; zoom <= 4; zoom += 0.13)
            for (const [x, y] of [[9, 9], [-9, 0], [0, 0]]) {
              const [first] = layers(stack, limited(stack, {zoom, x, y}))
              const covers = ({start, length}) => start <= 1e-9 && start + length >= 1 - 1e-9
              if (!covers(first.x) || !covers(first.y) || first.opacity < 1) uncovered.push([zoom, x, y])
            }
          return {moved: point(to) - point(from), uncovered, over: limited(stack, {zoom: 9, x: 9, y: -9})}
        }""",
        MODULE,
    )
    assert result["moved"] == pytest.approx(0, abs=1e-12)
    assert result["uncovered"] == []
    assert result["over"] == {"zoom": 4, "x": 0.5, "y": -0.5}


def explore(editor, graph, size=(420, 520)):
    """Build the graph, queue it, and wait for the levels."""
    editor.build(graph | {"explore": NODE | {"size": list(size)}})
    editor.page.evaluate(
        f"() => {{ const node = {NODE_OF}; Object.assign(app.canvas.ds, {{scale: 1, offset: [500 - node.pos[0], 140 -"
        " node.pos[1]]}); app.canvas.setDirty(true, true) }"
    )
    editor.queue()
    editor.page.wait_for_selector(f"{BOX} nav button:nth-child({COUNT})", state="attached")
    canvas, before = None, {}
    while canvas != before:  # on a busy machine the graph is still being laid out
        editor.page.wait_for_timeout(STILL)
        canvas, before = editor.page.locator(f"{BOX} canvas").bounding_box(), canvas
    return canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2


def zoom_of(editor):
    return editor.page.evaluate(f"{NODE_OF}.properties.zoomPosition?.zoom ?? 0")


def seen(editor):
    """A screenshot of the explorer, cut to the levels (without caption and marks), and where that lies in the frame."""
    editor.page.wait_for_timeout(150)
    box = editor.page.locator(f"{BOX} canvas").bounding_box()
    side = round(min(box["width"], box["height"]))
    left, top = box["x"] + (box["width"] - side) // 2, box["y"] + (box["height"] - side) // 2
    shot = Image.open(io.BytesIO(editor.page.screenshot())).convert("RGB")
    edge = 30
    part = shot.crop((round(left) + edge, round(top) + edge, round(left) + side - edge, round(top) + side - edge))
    return torch.from_numpy(np.array(part)).permute(2, 0, 1).float(), side, edge


def differs_from(editor, zoom):
    """Mean difference, of 255, between what is seen and what the core renders at a zoom."""
    shot, side, edge = seen(editor)
    frame = render_at(smooth_levels().double(), zoom, P, Size(side, side)).clamp(0, 255)
    return float((shot - frame[:, edge:-edge, edge:-edge]).abs().mean())


@needs_browser
def test_the_wheel_zooms_through_all_levels_as_the_core_renders_them(editor, graph):
    x, y = explore(editor, graph)
    assert differs_from(editor, 0.0) < TOLERANCE
    editor.page.mouse.click(x, y)
    scale = editor.page.evaluate("app.canvas.ds.scale")
    zooms = []
    for _ in range(40):
        editor.page.mouse.wheel(0, -120)
        editor.page.wait_for_timeout(40)
        zooms.append(zoom_of(editor))
        if len(zooms) in (1, 2, 3, 4, 5, 7):
            assert differs_from(editor, zooms[-1]) < TOLERANCE
    assert zooms[:5] == pytest.approx([0.24 / math.log(P) * turn for turn in range(1, 6)])
    assert zooms[-1] == COUNT - 1
    assert differs_from(editor, COUNT - 1) < TOLERANCE
    assert editor.page.evaluate("app.canvas.ds.scale") == scale, "the graph zoomed as well"
    assert differs_from(editor, COUNT - 1.3) > TOLERANCE, "the tolerance would not tell a third of a level apart"


@needs_browser
def test_keys_marks_and_double_click(editor, graph):
    x, y = explore(editor, graph)
    page = editor.page
    page.locator(BOX).focus()
    for key, zoom in (("End", COUNT - 1), ("PageDown", COUNT - 2), ("-", COUNT - 2.25), ("+", COUNT - 2), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_timeout(STILL)
        assert zoom_of(editor) == pytest.approx(zoom)
    page.locator(f"{BOX} nav button").nth(2).click()
    page.wait_for_timeout(STILL)
    assert zoom_of(editor) == 2
    assert page.locator(f"{BOX} nav [aria-current=true]").get_attribute("title") == "level 2"
    page.mouse.dblclick(x, y)
    page.wait_for_timeout(STILL)
    assert zoom_of(editor) == 3
    assert page.locator(f"{BOX} p").inner_text() == "3.0 of 3"


@needs_browser
@in_either_renderer
def test_keys_that_are_pressed_one_after_the_other_add_up(editor, graph):
    explore(editor, graph)
    page = editor.page
    page.locator(BOX).focus()
    for keys, zoom in ((["Home"], 0), (["PageUp"] * 2, 2), (["-"] * 3, 1.25), (["PageDown", "PageUp"], 1.25)):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(STILL)
        assert zoom_of(editor) == pytest.approx(zoom)
    page.keyboard.press("Home")
    page.wait_for_timeout(STILL)
    for _ in range(40):  # held
        page.keyboard.down("+")
        page.wait_for_timeout(30)
    page.keyboard.up("+")
    assert zoom_of(editor) > 0.4


@needs_browser
def test_dragging_moves_the_picture_and_not_the_node(editor, graph):
    x, y = explore(editor, graph)
    page = editor.page
    page.mouse.click(x, y)
    for _ in range(6):
        page.mouse.wheel(0, -120)
    page.wait_for_timeout(200)
    before = page.evaluate(f"[...{NODE_OF}.pos]")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    position = page.evaluate(f"{NODE_OF}.properties.zoomPosition")
    side = seen(editor)[1]
    assert [position["x"] * side, position["y"] * side] == pytest.approx([60, 30], abs=1.5)
    assert page.evaluate(f"[...{NODE_OF}.pos]") == before


class Fingers:
    """Real touches, as a touch screen sends them."""

    def __init__(self, page):
        self.page, self.session = page, page.context.new_cdp_session(page)

    def _send(self, kind, places):
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def move(self, *paths):
        """One finger for each path, which is a list of places."""
        first, *later = zip(*paths, strict=True)
        self._send("touchStart", first)
        for places in later:
            self._send("touchMove", places)
            self.page.wait_for_timeout(30)
        self._send("touchEnd", [])


@needs_browser
def test_fingers_zoom_and_move_the_picture_and_not_the_graph(editor, graph):
    x, y = explore(editor, graph)
    page, fingers, side = editor.page, Fingers(editor.page), seen(editor)[1]
    state = f"[app.canvas.ds.scale, ...app.canvas.ds.offset, ...{NODE_OF}.pos]"
    before = page.evaluate(state)
    steps = range(0, 41, 8)
    fingers.move([(x - 40 - step, y) for step in steps], [(x + 40 + step, y) for step in steps])
    assert zoom_of(editor) == pytest.approx(math.log(2) / math.log(P), abs=0.02)
    fingers.move([(x + step, y + step / 2) for step in steps])
    position = page.evaluate(f"{NODE_OF}.properties.zoomPosition")
    assert [position["x"] * side, position["y"] * side] == pytest.approx([40, 20], abs=1.5)
    for _ in range(2):  # a double tap
        fingers.move([(x, y)])
    page.wait_for_timeout(STILL)
    assert zoom_of(editor) == pytest.approx(2, abs=0.02)
    assert page.evaluate(state) == before


@needs_browser
def test_the_position_survives_queueing_again_and_loading_the_workflow(editor, graph):
    explore(editor, graph)
    page = editor.page
    page.locator(BOX).focus()
    page.keyboard.press("PageUp")
    page.wait_for_timeout(STILL)
    editor.queue()
    page.wait_for_timeout(STILL)
    assert zoom_of(editor) == 1
    assert differs_from(editor, 1.0) < TOLERANCE
    workflow, prompt = editor.serialised()
    (inputs,) = [node["inputs"] for node in prompt.values() if node["class_type"] == "ExploreZoomStack"]
    assert inputs.keys() == {"images", "zoom_factor", "pixels_per_cell"}, "the position is no input"
    editor.load(workflow)
    page.wait_for_timeout(STILL)
    assert page.locator(BOX).count() == 1
    editor.queue()
    page.wait_for_selector(f"{BOX} nav button:nth-child({COUNT})", state="attached")
    page.wait_for_timeout(STILL)
    assert zoom_of(editor) == 1
    assert differs_from(editor, 1.0) < TOLERANCE


@needs_browser
def test_the_position_survives_loading_the_page_again(editor, graph):
    explore(editor, graph)
    page = editor.page
    page.locator(BOX).focus()
    page.keyboard.press("End")
    page.wait_for_timeout(2000)  # until it is at rest, and the front end has kept the graph
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(READY)
    page.wait_for_function(f"{NODE_OF}")
    assert zoom_of(editor) == COUNT - 1
    editor.queue()
    page.wait_for_selector(f"{BOX} nav button:nth-child({COUNT})", state="attached")
    page.wait_for_timeout(STILL)
    assert differs_from(editor, COUNT - 1) < TOLERANCE


@needs_browser
@pytest.mark.parametrize("within", [False, True], ids=["graph", "subgraph"])
def test_a_tab_that_is_shown_again_has_its_levels(editor, graph, within):
    """The front end then makes new nodes, keeps their outputs, and calls them with none."""
    explore(editor, graph)
    page = editor.page
    if within:
        page.evaluate(f"app.graph.convertToSubgraph(new Set([{NODE_OF}]))")
        editor.queue()
        page.wait_for_timeout(STILL)
    marks = page.evaluate(
        """async () => {
          const kept = {...app.nodeOutputs}, saved = (await app.graphToPrompt()).workflow
          await app.loadGraphData(saved)
          app.nodeOutputs = kept
          app.extensions.find(({name}) => name === 'jointDiffusion.exploreZoomStack').afterLoadGraph()
          await new Promise(resolve => setTimeout(resolve, 700))
          const nodes = [app.graph, ...app.graph.subgraphs.values()].flatMap(({nodes}) => nodes)
          const {widgets} = nodes.find(({type}) => type === 'ExploreZoomStack')
          return widgets.find(({name}) => name === 'explorer').element.querySelectorAll('nav button').length
        }"""
    )
    assert marks == COUNT


@needs_browser
def test_it_keeps_its_width_while_the_properties_panel_shows_its_node(editor, graph):
    explore(editor, graph)
    page = editor.page
    before = page.locator(BOX).bounding_box()["width"]
    page.evaluate(f"app.canvas.selectNode({NODE_OF})")
    open_panel = "open => app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', open)"
    page.evaluate(open_panel, True)
    page.get_by_test_id("properties-panel").get_by_text("Explore Zoom Stack").first.wait_for()
    page.evaluate("app.canvas.setDirty(true, true)")
    page.wait_for_timeout(STILL)
    assert page.locator(BOX).bounding_box()["width"] == pytest.approx(before, abs=1)
    page.evaluate(open_panel, False)


@needs_browser
def test_it_can_be_told_what_it_is(editor, graph):
    explore(editor, graph)
    box = editor.page.locator(BOX)
    assert box.get_attribute("role") == "application"
    assert box.get_attribute("tabindex") == "0"
    assert box.get_attribute("aria-label").startswith("Zoom explorer. Wheel, pinch or + and - zoom")
    assert editor.page.get_by_role("button", name="Go to level 3: level 3").count() == 1


@needs_browser
def test_it_says_where_the_view_is_once_it_is_at_rest(editor, graph):
    explore(editor, graph)
    page, status = editor.page, editor.page.locator(f"{BOX} [role=status]")
    assert status.text_content() == "Zoom 0.0 of 3. In the middle."
    page.evaluate(
        """status => {
          window.said = []
          new MutationObserver(() => said.push(status.textContent)).observe(status, {childList: true})
        }""",
        status.element_handle(),
    )
    page.locator(BOX).focus()
    for key in ("PageUp", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        page.wait_for_timeout(STILL + 500)
    assert page.evaluate("said") == [
        "Zoom 1.0 of 3. In the middle.",
        "Zoom 1.0 of 3. Moved 10% left.",
        "Zoom 1.0 of 3. Moved 10% left, 10% down.",
    ], "it may not speak at every frame of a movement"


@needs_browser
def test_the_focus_is_seen_over_the_picture(editor, graph):
    explore(editor, graph)
    page, box = editor.page, editor.page.locator(BOX)

    def lower_edge():
        at = box.bounding_box()
        clip = {"x": at["x"] + 20, "y": at["y"] + at["height"] - 2, "width": at["width"] - 40, "height": 1}
        return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")).mean((0, 1))

    page.evaluate("document.activeElement.blur()")
    without = lower_edge()
    box.focus()
    assert np.abs(lower_edge() - (0x66, 0xCC, 0xFF)).max() < 8
    assert np.abs(without - (0x66, 0xCC, 0xFF)).max() > 60

"""Workflow files dropped onto the page and run by its button, one for each kind of node, with both renderers."""

import io
from dataclasses import dataclass, field

import pytest
from browser import front_end, why_not
from host import ROOT
from PIL import Image

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
QUICK = {"steps": 2, "seconds_per_level": 0.5}


@dataclass
class Job:
    """What a workflow shows once it has run: node type -> the size that is seen there, in pixels."""

    pictures: dict[str, tuple[int, int] | None] = field(default_factory=dict)  # None: of any size
    videos: dict[str, tuple[int, int]] = field(default_factory=dict)
    levels: int = 0  # in the explorer


JOBS = {
    "panorama_360_demo": Job({"SavePanorama": (1024, 512), "PanoramaMetrics": None}),
    "panorama_360_seasons_demo": Job({"SaveImage": (1024, 128), "PanoramaPlan": None}),
    "upscale_demo": Job({"SaveImage": (1024, 256)}),
    "twin_images_demo": Job({"SaveImage": None}),
    "zoom_demo": Job(videos={"ZoomVideo": (128, 128)}, levels=8),
}

FIND = "const node = app.graph.nodes.find(node => node.type === type)"
SET = """values => {
  for (const widget of app.graph.nodes.flatMap(node => node.widgets ?? []))
    if (widget.name in values) widget.value = values[widget.name]
}"""
# Where the node is on the page, once it has been brought there.
SHOW = f"""type => {{
  {FIND}
  const scale = Math.min(1, 700 / (node.size[1] + 60), 1000 / node.size[0])
  Object.assign(app.canvas.ds, {{scale, offset: [120 / scale - node.pos[0], 140 / scale - node.pos[1]]}})
  app.canvas.setDirty(true, true)
  const seen = app.canvasEl.getBoundingClientRect()
  return {{x: seen.x + 120, y: seen.y + 140, width: node.size[0] * scale, height: node.size[1] * scale}}
}}"""
# The classic renderer draws pictures that are no elements of the page.
PICTURE = f"""type => {{
  {FIND}
  const shown = document.querySelector(`[data-node-id="${{node.id}}"] img`) ?? node.imgs?.[0]
  return shown?.naturalWidth ? [shown.naturalWidth, shown.naturalHeight] : null
}}"""
VIDEO = f"""type => {{
  {FIND}
  const inNode = document.querySelector(`[data-node-id="${{node.id}}"] video`)
  const shown = inNode ?? node.widgets.map(({{element}}) => element?.querySelector('video')).find(found => found)
  return shown?.readyState > 1 && shown.offsetWidth ? [shown.videoWidth, shown.videoHeight] : null
}}"""


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2"])
def editor(request, server):
    with front_end(server, vue=request.param) as opened:
        yield opened


def drop(page, path):
    """Let go of a file over the graph, as the desktop does."""
    page.wait_for_function("document.elementFromPoint(800, 500) === app.canvasEl")  # at its start, something covers it
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for event in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": event, "x": 800, "y": 500, "data": data})


def colours(page, class_type):
    """How many are seen in a node."""
    clip = page.evaluate(SHOW, class_type)
    page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return len(shot.getcolors(1 << 24))


@pytest.mark.parametrize("name", JOBS)
def test_a_workflow_file_is_dropped_run_and_seen(editor, name):
    page, job = editor.page, JOBS[name]
    editor.build({})
    editor.complaints.clear()
    drop(page, ROOT / "workflows" / f"{name}.json")
    types = [*job.pictures, *job.videos, *(["ExploreZoomStack"] if job.levels else [])]
    page.wait_for_function("name => app.extensionManager.workflow.activeWorkflow.filename === name", arg=name)
    page.wait_for_function(f"types => types.every(type => {{ {FIND}; return node }})", arg=types)
    before = {class_type: colours(page, class_type) for class_type in types}
    page.evaluate(SET, QUICK)
    editor.queue(button=True)
    for class_types, shown in ((job.pictures, PICTURE), (job.videos, VIDEO)):
        for class_type, size in class_types.items():
            colours(page, class_type)  # brings it into view; the classic renderer loads what it draws
            seen = page.wait_for_function(shown, arg=class_type).json_value()
            assert size is None or tuple(seen) == size
    if job.levels:
        page.wait_for_selector(f".zoom-explorer nav button:nth-child({job.levels})", state="attached")
    after = {class_type: colours(page, class_type) for class_type in types}
    assert all(after[class_type] > 2 * before[class_type] for class_type in types), (before, after)
    assert not editor.complaints

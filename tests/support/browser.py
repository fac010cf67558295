"""ComfyUI's front end in headless Chromium, as a person sees it, and graphs built in it."""

import importlib.util
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfy_server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page  # may be absent, see `why_not`

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
VIEWPORT = {"width": 1600, "height": 900}
# The last thing the front end does at its start is to load the workflow that it shows to newcomers.
READY = "window.app?.extensionManager && window.app?.graph?.nodes.length"
USUAL = [  # what an empty ComfyUI without a network says by itself
    r"404 .*/(user\.css|api/userdata\b.*)\)",
    r"404 .*/docs/\w+/en\.md\)",  # it asks for a translation of a help page first
    r"(api\.comfy\.org|huggingface\.co).*Content Security Policy",  # it looks up nodes and models
    "graph accessed before initialization",
]
START_MS = 90_000  # the first page of a fresh server; later waits have playwright's 30 s


def why_not() -> str | None:
    """Why no browser can be used here; None if one can."""
    if importlib.util.find_spec("playwright") is None:
        return "no browser tests: playwright is not installed (uv pip install playwright)"
    if CHROMIUM is None:
        return "no browser tests: no chromium, chromium-browser or google-chrome on the PATH"
    return None


@dataclass
class FrontEnd:
    """One page with the graph editor."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)  # uncaught exceptions and console errors

    def on_console(self, message) -> None:
        """Keep errors, but not the usual ones."""
        text = f"{message.text} ({message.location['url']})"
        if message.type == "error" and not any(re.search(usual, text) for usual in USUAL):
            self.complaints.append(text)

    def build(self, graph: dict, identity: uuid.UUID | None = None) -> None:
        """Replace the graph by this one: an API prompt whose nodes may also have a title, size, color and properties.

        Nodes stand in the `column` and the `row` that they name; those that share both, one below the other.
        """
        # The front end remembers widgets by the ids of graph and node, even after `clear`: every graph needs its own.
        self.page.evaluate(BUILD, [graph, str(identity or uuid.uuid4())])

    def load(self, workflow: dict) -> None:
        """Open a workflow file."""
        self.page.evaluate("workflow => app.loadGraphData(workflow)", workflow)

    def serialised(self) -> tuple[dict, dict]:
        """The graph as a workflow file, and as an API prompt."""
        both = json.loads(self.page.evaluate("async () => JSON.stringify(await app.graphToPrompt())"))
        return both["workflow"], both["output"]

    def queue(self, button: bool = False) -> dict:
        """Run the graph, by a click on the button or as it does; what each output node showed, once all is done.

        Raises:
            RuntimeError: the server refused the prompt or a node failed.
        """
        self.page.evaluate(FOLLOW)
        with self.page.expect_response("**/api/prompt") as sent:
            if button:
                self.page.get_by_test_id("queue-button").click(no_wait_after=True)
            else:
                self.page.evaluate("void app.queuePrompt(0, 1)")
        if not sent.value.ok or sent.value.json()["node_errors"]:
            raise RuntimeError(sent.value.text())
        answer = self.page.evaluate("answer")
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["outputs"]


BUILD = """async ([graph, identity]) => {
  const GAP = [60, 60], nodes = {}
  app.graph.clear()
  app.graph.id = identity
  for (const [key, {class_type, title, size, color, properties}] of Object.entries(graph)) {
    const node = LiteGraph.createNode(class_type)
    if (!node) throw new Error(`no node ${class_type}`)
    app.graph.add(node)
    if (title) node.title = title
    if (color) Object.assign(node, LGraphCanvas.node_colors[color])
    Object.assign(node.properties, properties)
    nodes[key] = node
  }
  for (const [key, {inputs}] of Object.entries(graph))
    for (const [name, value] of Object.entries(inputs)) {
      const widget = nodes[key].widgets?.find(widget => widget.name === name)
      if (Array.isArray(value)) {
        const slot = nodes[key].inputs.findIndex(input => input.name === name)
        if (slot < 0 || !nodes[value[0]].connect(value[1], nodes[key], slot))
          throw new Error(`cannot connect ${key}.${name}`)
      } else if (widget) widget.value = value
      else throw new Error(`${key} has no widget ${name}`)
    }
  await new Promise(resolve => setTimeout(resolve, 300))  // widgets that are HTML elements need a frame to be sized
  for (const [key, {size}] of Object.entries(graph)) {
    const least = nodes[key].computeSize()
    nodes[key].setSize(size ?? [Math.max(least[0], 270), least[1]])
  }
  const placed = Object.entries(graph).map(([key, {column = 0, row = 0}]) => ({node: nodes[key], column, row}))
  const title = LiteGraph.NODE_TITLE_HEIGHT, numbers = (field) =>
    [...new Set(placed.map(place => place[field]))].sort((one, other) => one - other)
  let x = 0, y = 0
  for (const column of numbers('column')) {
    const inColumn = placed.filter(place => place.column === column).map(place => place.node)
    for (const node of inColumn) node.pos = [x, 0]
    x += Math.max(...inColumn.map(node => node.size[0])) + GAP[0]
  }
  for (const row of numbers('row')) {
    const inRow = placed.filter(place => place.row === row), next = {}
    for (const {node, column} of inRow) {
      node.pos = [node.pos[0], (next[column] ??= y) + title]
      next[column] += node.size[1] + title + GAP[1]
    }
    y = Math.max(...Object.values(next)) + GAP[1]
  }
  app.canvas.setDirty(true, true)
}"""

FOLLOW = """() => { window.answer = new Promise((resolve) => {
  const outputs = {}, end = (answer) => {
    for (const [name, listener] of Object.entries(listeners)) app.api.removeEventListener(name, listener)
    resolve(answer)
  }
  const listeners = {
    executed: ({detail}) => { outputs[detail.node] = detail.output },
    execution_error: ({detail}) => end({error: `${detail.node_type}: ${detail.exception_message}`}),
    execution_success: () => end({outputs}),
  }
  for (const [name, listener] of Object.entries(listeners)) app.api.addEventListener(name, listener)
}) }"""


@contextmanager
def front_end(server: Server, vue: bool = False) -> Iterator[FrontEnd]:
    """Open the front end with one of its renderers: the classic canvas, or Nodes 2.0."""
    from playwright.sync_api import sync_playwright

    # On a first start the front end would open the template browser over everything.
    server.post("/api/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport=VIEWPORT)
            opened = FrontEnd(page)
            page.on("pageerror", lambda error: opened.complaints.append(f"exception: {error}"))
            page.on("console", opened.on_console)
            page.goto(f"http://{server.address}/", wait_until="domcontentloaded", timeout=START_MS)
            page.wait_for_function(READY, timeout=START_MS)
            yield opened
        finally:
            browser.close()

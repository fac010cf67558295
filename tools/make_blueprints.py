"""Make everything in subgraphs/: whole jobs as single nodes, which ComfyUI lists among its blueprints.

`make blueprints` runs it. Each job is written down in `workflows/blueprints.py` beside this file, built in ComfyUI's
front end in headless Chromium, made one node and exported there. With names as arguments only these blueprints are
made.
"""

import json
import re
import sys
import tempfile
import uuid
from pathlib import Path

from browser import FrontEnd, front_end
from comfy_server import running_server
from workflows.blueprints import BLUEPRINTS, Blueprint

SUBGRAPHS = Path(__file__).parents[1] / "subgraphs"
CATEGORY = "Joint Diffusion"  # within *Subgraph Blueprints*, in the tree of nodes
WIDTH = 400  # pixels of the node
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The front end gives the subgraph inputs of its own choice. They make room for those asked for, in their order.
CONVERT = """([name, keys, inputs, outputs, width]) => {
  keys.forEach((key, index) => { app.graph.nodes[index].properties.key = key })
  const {node, subgraph} = app.graph.convertToSubgraph(new Set(app.graph.nodes))
  const inner = (key) => subgraph.nodes.find(one => one.properties.key === key)
  for (const input of [...subgraph.inputs]) subgraph.removeInput(input)
  for (const [label, targets] of inputs) {
    const slots = targets.map(([key, field]) => [inner(key).inputs.find(slot => slot.name === field), inner(key)])
    const added = subgraph.addInput(label, String(slots[0][0].type))
    for (const [slot, target] of slots)
      if (!added.connect(slot, target)) throw new Error(`cannot connect ${label}`)
  }
  for (const [label, [key, index]] of outputs) {
    const slot = inner(key).outputs[index]
    if (!subgraph.addOutput(label, String(slot.type)).connect(slot, inner(key)))
      throw new Error(`cannot connect ${label}`)
  }
  for (const one of subgraph.nodes) delete one.properties.key
  node.title = name
  node.pos = [0, 0]
  node.setSize([Math.max(width, node.computeSize()[0]), node.computeSize()[1]])
  return JSON.stringify(app.canvas._serializeItems([node]))
}"""


def converted(editor: FrontEnd, name: str, blueprint: Blueprint) -> dict:
    """The blueprint as the front end publishes one."""
    editor.build(blueprint.graph, uuid.uuid5(uuid.NAMESPACE_URL, name))
    inputs, outputs = list(blueprint.inputs.items()), list(blueprint.outputs.items())
    made = json.loads(editor.page.evaluate(CONVERT, [name, list(blueprint.graph), inputs, outputs, WIDTH]))
    (host,), (subgraph,) = made["nodes"], made["subgraphs"]
    subgraph |= {"name": name, "category": CATEGORY, "description": blueprint.description}
    whole = {
        "revision": 0,
        "last_node_id": host["id"],
        "last_link_id": 0,
        "nodes": [host],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [subgraph]},
    }
    return lasting(whole, name)


def lasting(blueprint: dict, name: str) -> dict:
    """The same with ids that do not change when it is made again."""
    text = json.dumps(blueprint)
    for number, found in enumerate(dict.fromkeys(UUID.findall(text))):
        text = text.replace(found, str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {number}")))
    return json.loads(text)


def main() -> None:
    """All blueprints, or those named."""
    SUBGRAPHS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server, front_end(server) as editor:
        for name in sys.argv[1:] or BLUEPRINTS:
            blueprint = converted(editor, name, BLUEPRINTS[name])
            text = json.dumps(blueprint, indent=2, ensure_ascii=False) + "\n"
            (SUBGRAPHS / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The nodes of a prompt that make a model, so that another process can run the same."""

from typing import Any

from comfy_execution.graph_utils import is_link

NODE_ID = "RayWorkers"
TAKEN = "JointDiffusionTaken"  # the node that takes the model where the nodes are run

Link = list[Any]  # [id of a node, number of its output]


def upstream(nodes: Any, node_id: str) -> tuple[dict[str, Any], Link]:
    """The nodes that `model` of this node comes from, in API format, and the link to it.

    `nodes` is the host's DynamicPrompt, which also knows nodes that others have made while they ran. Further nodes of
    this kind between them are left out: a worker has no workers.
    """
    found: dict[str, Any] = {}

    def real(link: Link) -> Link:
        node = nodes.get_node(link[0])
        return real(node["inputs"]["model"]) if node["class_type"] == NODE_ID else [*link]

    def collect(link: Link) -> None:
        if link[0] in found:
            return
        node = nodes.get_node(link[0])
        inputs = {name: real(value) if is_link(value) else value for name, value in node["inputs"].items()}
        found[link[0]] = {"class_type": node["class_type"], "inputs": inputs}
        for value in inputs.values():
            if is_link(value):
                collect(value)

    link = real(nodes.get_node(node_id)["inputs"]["model"])
    collect(link)
    return found, link

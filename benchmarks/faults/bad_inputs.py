"""Wrong values for every input of every node of the pack, as an API client may send them, and how they are answered.

They come from the nodes' own schemas: beyond each bound, of another type, unknown choices, what is no number, lengths
off the grid, inputs left out, and connections to outputs of another kind.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .graphs import Graph, node, sources

if TYPE_CHECKING:
    from comfy_server import Server

CATEGORY = "joint diffusion"
# Where what a node wants comes from, in `graphs.sources`.
GIVEN = {
    "MODEL": ["demo", 0],
    "CLIP": ["demo", 1],
    "VAE": ["demo", 2],
    "CONDITIONING": ["text", 0],
    "LATENT": ["latent", 0],
    "IMAGE": ["picture", 0],
    "ZOOM_PROMPTS": ["zoom", 0],
}
# What a good graph needs beside the defaults of the schema.
GOOD = {
    "ZoomPrompts": {"prompts": "far lake\nnear lake"},
    "PanoramaPrompts": {"prompts": "lake\nforest"},
    "PanoramaLatent": {"batch_size": 2},
    "ZoomFrames": {"seconds_per_level": 0.1},
    "ZoomVideo": {"seconds_per_level": 0.1, "format": "mp4"},
    "SavePanorama": {"format": "png"},
}
QUICK = {"steps": 1, "width": 0, "height": 0, "upscale_by": 1.0, "photograph_steps": 0}
CANVAS = {"PanoramaLatent": {"width": 256, "height": 128}}
RULES = r"must|needs?\b|cannot|can be|ha(s|ve)\b|allows|at least|at most|compares|keeps|is put"
RULES += "|missing|not in list|min of|max of|mismatch|convert"  # the host's own
# What to do: a second half of the sentence that says it, or the values that are right.
WAYS_OUT = (
    r";|nearest|\bor\b|\.\.|<=|one of|at least|above|below|min of|max of|not in \[|list of|missing|to an? [A-Z]+ value"
)
WAYS_OUT += r"|input_type"


@dataclass(frozen=True)
class Bad:
    """One wrong value in an otherwise good graph; `value` as the answer must name it, None if there is none."""

    node_id: str
    field: str
    value: str | None
    graph: Graph


def tried(server: "Server", nodes: list[str] | None = None) -> tuple[int, list[str]]:
    """How many bad inputs were sent, of some nodes or of all, and which were not answered as they should be."""
    from comfy_server import PromptFailed

    count, wrong = 0, []
    for bad in bad_inputs(server, nodes):
        count += 1
        try:
            server.run(bad.graph)
            said, lacks = "", ["any answer"]
        except PromptFailed as error:
            said = answer(str(error))
            lacks = lacking(said, bad)
        if lacks:
            wrong.append(f"{bad.node_id}.{bad.field} = {bad.value}: without {', '.join(lacks)}: {said}")
    return count, wrong


def bad_inputs(server: "Server", nodes: list[str] | None = None) -> Iterator[Bad]:
    """All of them; the graph without the wrong value is run first.

    Raises:
        PromptFailed: this good graph is refused.
    """
    every = {name: info for name, info in server.get_json("/object_info").items() if info["category"] == CATEGORY}
    for name, info in every.items():
        if nodes is not None and name not in nodes:
            continue
        inputs = dict(_flat(info))
        server.run(_graph(name, info, _good(name, inputs)))
        for field, (kind, options, required) in inputs.items():
            for value, named in _wrong(field, kind, options, required):
                changed = {**_good(name, inputs), field: value}
                if value is LEFT_OUT:
                    del changed[field]
                yield Bad(name, field, named, _graph(name, info, changed))


def answer(text: str) -> str:
    """What an answer says of the inputs, as a client reads it.

    Of the host's own refusals it is the message and what it is about; of an error in a node, the message.
    """
    if not text.startswith("HTTP 400: "):
        return text.partition(": ")[2]
    errors = json.loads(text.removeprefix("HTTP 400: "))["node_errors"].values()
    return "; ".join(f"{error['details']}: {error['message']}" for node in errors for error in node["errors"])


def lacking(said: str, bad: Bad) -> list[str]:
    """Which of field, rule, value and way out an answer does not have."""
    field = bad.field.rpartition(".")[2]
    wanted = {
        "the field": re.search(rf"\b{field}\b", said.partition(": ")[0]),
        "a rule": re.search(RULES, said, re.IGNORECASE),
        "the value": bad.value is None or bad.value in said,
        "a way out": re.search(WAYS_OUT, said),
    }
    return [name for name, found in wanted.items() if not found]


ANY_PIXELS = {"border"}  # of lengths in steps of 8, those that may lie off the grid
LEFT_OUT = object()
Input = tuple[str | list, dict[str, Any], bool]


def _flat(info: dict) -> Iterator[tuple[str, Input]]:
    """The inputs of a node, those of the last choice of a dynamic one too: name, type, options, whether required."""
    for group in ("required", "optional"):
        yield from _of_group(info["input"].get(group, {}), group == "required", "")


def _of_group(inputs: dict, required: bool, prefix: str) -> Iterator[tuple[str, Input]]:
    for name, (kind, *rest) in inputs.items():
        options = rest[0] if rest else {}
        yield f"{prefix}{name}", (kind, options, required)
        if kind == "COMFY_DYNAMICCOMBO_V3":
            inner = options["options"][-1]["inputs"]
            for group in ("required", "optional"):
                yield from _of_group(inner.get(group, {}), group == "required", f"{prefix}{name}.")


def _good(name: str, inputs: dict[str, Input]) -> dict[str, Any]:
    values = {}
    for field, (kind, options, required) in inputs.items():
        if kind == "COMFY_DYNAMICCOMBO_V3":
            values[field] = options["options"][-1]["key"]
        elif isinstance(kind, str) and kind in GIVEN:
            if required:
                values[field] = GIVEN[kind]
        elif isinstance(kind, list) or kind in ("COMBO", "INT", "FLOAT", "BOOLEAN", "STRING"):
            choices = kind if isinstance(kind, list) else options.get("options", [""])
            default = options.get("default", choices[0] if choices else "")
            if not options.get("forceInput"):
                values[field] = QUICK.get(field, default)
    return {**values, **CANVAS.get(name, {}), **GOOD.get(name, {})}


def _graph(name: str, info: dict, inputs: dict[str, Any]) -> Graph:
    graph = {**sources(), "node": {"class_type": name, "inputs": inputs}}
    if not info["output_node"]:
        graph["shown"] = node("PreviewAny", source=["node", 0])
    return graph


def _wrong(field: str, kind: str | list, options: dict[str, Any], required: bool) -> Iterator[tuple[Any, str | None]]:
    """Wrong values for an input, each as an answer names it."""
    if required:
        yield LEFT_OUT, None
    if kind in ("INT", "FLOAT"):
        yield from _wrong_number(field, kind, options)
    elif isinstance(kind, list) or kind == "COMBO":
        yield "no such choice", "no such choice"
    elif kind == "COMFY_DYNAMICCOMBO_V3":
        yield "no such choice", None  # which the host keeps for itself
    elif kind in GIVEN:
        other = "VAE" if kind != "VAE" else "MODEL"
        yield GIVEN[other], other


def _wrong_number(field: str, kind: str, options: dict[str, Any]) -> Iterator[tuple[Any, str | None]]:
    yield "some", "some"
    step = 1 if kind == "INT" else 0.5
    if "min" in options:
        yield options["min"] - step, str(options["min"] - step)
    if "max" in options:
        yield options["max"] + step, str(options["max"] + step)
    if kind == "FLOAT":
        yield float("nan"), "nan"
        yield float("inf"), "inf"
    elif options.get("step") == 8 and field not in ANY_PIXELS:
        off = options["min"] + 8 * 40 + 3
        yield off, str(off)

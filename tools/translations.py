"""Write what ComfyUI reads in other languages, from the catalogues of translations. `make translations` runs it.

`locales/<language>.json` is a catalogue: `texts` has each English text of the nodes beside its translation, and `names`
those of inputs and outputs; a name that is not there is shown as it is. From it comes `locales/<language>/`, which is
never edited. As catalogues go by the English text, one that has changed is missing, and the old one is stale.

The front end asks for a text by the name of its input, with an underscore for each dot. Of the fields that a choice
shows, it keeps the English tooltips of widgets and the English names of sockets. It would want the single inputs of a
growing one by their numbers; they are left out.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCALES = Path(__file__).parents[1] / "locales"


def catalogues() -> dict[str, dict[str, dict[str, str]]]:
    """Language -> {"names": {English: translation}, "texts": {English: translation}}."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(LOCALES.glob("*.json"))}


def english(nodes: dict[str, dict]) -> dict[str, dict]:
    """The files of a language before translation: {file: its content}.

    Args:
        nodes: the nodes as ComfyUI's /object_info describes them.

    Raises:
        ValueError: the front end would look up two different texts by one key.
    """
    categories = {part for info in nodes.values() for part in info["category"].split("/")}
    return {
        "main.json": {"nodeCategories": {category: category for category in sorted(categories)}},
        "nodeDefs.json": {name: _node(info) for name, info in nodes.items()},
    }


def _node(info: dict) -> dict:
    inputs: dict[str, dict] = {}
    for key, field in _inputs(info["input"]):
        if inputs.setdefault(key, field) != field:
            raise ValueError(f"{info['name']}: {key} has two texts, {inputs[key]} and {field}; give both the same.")
    outputs = {
        str(place): {"tooltip": tooltip} if name == kind else {"name": name, "tooltip": tooltip}
        for place, (name, kind, tooltip) in enumerate(
            zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
        )
    }
    texts = {"display_name": info["display_name"], "description": info["description"]}
    return texts | {"inputs": inputs, "outputs": outputs}


def _inputs(group: dict, parent: str = "") -> Iterator[tuple[str, dict]]:
    """Each input by its key in the front end, where a dot would begin a level."""
    for name, (kind, *options) in {**group.get("required", {}), **group.get("optional", {})}.items():
        options = options[0] if options else {}
        yield f"{parent}{name}", {"name": options.get("display_name") or name, "tooltip": options["tooltip"]}
        if kind == "COMFY_DYNAMICCOMBO_V3":
            for option in options["options"]:
                yield from _inputs(option["inputs"], f"{parent}{name}_")


def translated(texts: dict, catalogue: dict[str, dict[str, str]]) -> dict:
    """The same tree in another language, without what the catalogue does not have."""
    tree = {}
    for key, text in texts.items():
        if isinstance(text, dict):
            tree[key] = translated(text, catalogue)
        elif found := catalogue[_section(key)].get(text):
            tree[key] = found
    return tree


def _section(key: str) -> str:
    return "names" if key == "name" else "texts"


def missing(texts: dict, catalogue: dict[str, dict[str, str]]) -> list[str]:
    """English texts without a translation. Names may be without."""
    return [text for section, text in _leaves(texts) if section == "texts" and not catalogue["texts"].get(text)]


def stale(texts: dict, catalogue: dict[str, dict[str, str]]) -> list[str]:
    """English texts and names in the catalogue that no node has any more."""
    used = set(_leaves(texts))
    return [text for section in ("names", "texts") for text in catalogue[section] if (section, text) not in used]


def _leaves(texts: dict) -> dict[tuple[str, str], None]:
    """(section, English text), in the order of the nodes, each once."""
    leaves = {}
    for key, text in texts.items():
        leaves |= _leaves(text) if isinstance(text, dict) else {(_section(key), text): None}
    return leaves


def as_json(tree: dict) -> str:
    """A file of a language."""
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write all languages, and print what is missing or stale; the exit code says whether anything is."""
    from comfy_server import PACK, running_server  # not above: the tests have this file's functions without a server

    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server:
        every = server.get_json("/object_info")
    texts = english({name: info for name, info in every.items() if info["python_module"].endswith(PACK)})
    found = 0
    for language, catalogue in catalogues().items():
        for file, tree in texts.items():
            path = LOCALES / language / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(as_json(translated(tree, catalogue)), encoding="utf-8")
        problems = [("missing", text) for text in missing(texts, catalogue)]
        problems += [("stale", text) for text in stale(texts, catalogue)]
        for kind, text in problems:
            print(f"{language}: {kind}: {json.dumps(text, ensure_ascii=False)}")
        found += len(problems)
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())

"""One word for one thing: no public name is a synonym that the table of CONTRIBUTING.md forbids.

Public names are those of functions and classes, of their parameters and fields, and the ids of the nodes' inputs and
outputs, in core/, nodes/ and demo/. A forbidden synonym is a whole name, or a pattern with asterisks.
"""

import ast
import re
from fnmatch import fnmatchcase

import pytest
from host import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.*?) \|$", re.MULTILINE)
TABLE = ROW.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Vocabulary")[2])
FORBIDDEN = [(synonym, word) for word, _, synonyms in TABLE for synonym in re.findall(r"`([\w*]+)`", synonyms)]
SOURCES = [path for folder in ("core", "nodes", "demo") for path in sorted((ROOT / folder).rglob("*.py"))]


def snake(name):
    """A class name as its words are written elsewhere."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def public_names(body):
    """(line, name) in the body of a module or of a class; what begins with an underscore is private."""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_") and node.name not in ("__init__", "__call__"):
                continue
            yield node.lineno, node.name
            if isinstance(node, ast.ClassDef):
                yield from public_names(node.body)
            else:
                arguments = node.args
                listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                others = [one for one in (arguments.vararg, arguments.kwarg) if one]
                yield from ((one.lineno, one.arg) for one in [*listed, *others])


def node_ids(tree):
    """(line, id) of each `io.Something.Input("id", ...)` and `Output`, and of each `something_input("id", ...)`."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name.endswith(("Input", "Output", "_input")) and call.args and isinstance(call.args[0], ast.Constant):
            yield call.lineno, call.args[0].value


def names(source):
    """(line, name) of all that the table is about."""
    tree = ast.parse(source)
    return [*public_names(tree.body), *node_ids(tree)]


def instead_of(name):
    """The words of which a name is a forbidden synonym; none if it may stay."""
    return [word for synonym, word in FORBIDDEN if fnmatchcase(snake(name), synonym)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_public_name_is_a_forbidden_synonym(path):
    found = [(line, name, instead_of(name)) for line, name in names(path.read_text(encoding="utf-8"))]
    wrong = [f"line {line}: {name}, say {' or '.join(words)}" for line, name, words in found if words]
    assert not wrong


def test_every_word_of_the_table_is_in_use_and_forbidden_nowhere():
    used = {part for path in SOURCES for _, name in names(path.read_text(encoding="utf-8")) for part in parts(name)}
    words = [word for word, *_ in TABLE]
    assert len(words) == len(set(words)) > 15
    assert not [word for word in words if not {word, f"{word}s"} & used]
    assert not [word for word in words if instead_of(word)]


def parts(name):
    """All runs of words within a name: scale_map has scale, map, scale_map."""
    split = snake(name).strip("_").split("_")
    return {"_".join(split[start:end]) for end in range(len(split) + 1) for start in range(end)}


def test_each_kind_of_name_is_found():
    source = """
class TileParams(NamedTuple):
    ratio: int
    def at(self, magnification): ...
def shown(unit, *, p=2, **lam): ...
def _private(unit): ...
io.Int.Input("zoom_ratio", default=2)
part_input("tile_overlap", "A part.")
"""
    found = [name for _, name in names(source)]
    ids = ["zoom_ratio", "tile_overlap"]
    assert found == ["TileParams", "ratio", "at", "self", "magnification", "shown", "unit", "p", "lam", *ids]
    wrong = [name for name in found if instead_of(name)]
    assert wrong == ["TileParams", "ratio", "magnification", "unit", "p", "lam", *ids]
    assert not instead_of("unit_variance")
    assert not instead_of("pixels_per_cell")
    assert instead_of("factor") == ["pixels_per_cell", "scale_factor", "zoom_factor"]

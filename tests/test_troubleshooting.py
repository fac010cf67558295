"""Every message that docs/troubleshooting.md quotes is one that the sources have, so that people find it there."""

import ast
import re
from functools import cache

import pytest
from host import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BY_MESSAGE = PAGE.partition("## No message")[0]
QUOTED = re.findall(r"^\| `(.+?)` \|", BY_MESSAGE, re.MULTILINE)
SOURCES = [path for folder in ("core", "nodes", "demo") for path in sorted((ROOT / folder).rglob("*.py"))]
WHAT_DIFFERS = "…"


def text_of(node):
    """A string as it stands in the source, with `…` for each field; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else WHAT_DIFFERS for part in node.values)
    return None


def strings(source):
    """All strings of a source but its docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [text for node in ast.walk(tree) if id(node) not in docstrings and (text := text_of(node))]


@cache
def messages():
    return [text for path in SOURCES for text in strings(path.read_text(encoding="utf-8"))]


def test_a_field_is_what_differs_and_a_docstring_is_no_message():
    assert strings('"""Old: 1."""\nraise ValueError(f"size: at most {most}, "\n    f"got {size!r}.")') == [
        "size: at most …, got ….",
        "size: at most ",
        ", got ",
        ".",
    ]


@pytest.mark.parametrize("message", QUOTED)
def test_the_message_is_one_of_the_sources(message):
    assert any(message in text for text in messages()), f"nobody says this any more: {message}"


def test_every_row_quotes_a_message():
    rows = [line for line in BY_MESSAGE.splitlines() if line.startswith("| ") and not line.startswith("| message")]
    assert len(rows) == len(QUOTED) >= 30
    assert len(set(QUOTED)) == len(QUOTED)

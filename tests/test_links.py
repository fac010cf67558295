"""What the documents point to is there: links, their headings, pictures, and files that are named."""

import re

import pytest
from host import ROOT

FOLDERS = ("", ".github/**/", "benchmarks/**/", "demo/", "docs/", "web/docs/")
DOCUMENTS = sorted({path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in ROOT.glob(f"{folder}*.md")})
GUIDES = [name for name in DOCUMENTS if name.startswith("docs/") or name in ("README.md", "CONTRIBUTING.md")]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
TABLE = re.compile(r"<!-- table .*? -->")  # test_documents.py looks after these
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
FILE = re.compile(r"(?<![\w/.-])(?:core|nodes|demo|web|tools|tests|benchmarks|workflows|docs)/[\w./-]*\.\w+")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def links(text):
    """Where a document points to, but for other sites."""
    found = [one or other for one, other in LINK.findall(CODE.sub("", text))]
    return [link for link in found if not re.match(r"https?://|mailto:", link)]


def anchors(text):
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolved(name, link):
    """The file and the heading that a link of a document is about."""
    path, _, heading = link.partition("#")
    return ((ROOT / name).parent / path if path else ROOT / name), heading


def test_links_are_found_and_code_is_not_read():
    assert links('[a](b.md#c) <img src="d.jpg"> `[e](f)` [g](https://h.org)\n```\n[i](j)\n```') == ["b.md#c", "d.jpg"]
    assert anchors("# One `core/` and two\n```\n# no\n```\n## What it costs, twice") == {
        "one-core-and-two",
        "what-it-costs-twice",
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    broken = [link for link in links(read(name)) if not resolved(name, link)[0].exists()]
    assert not broken, f"no such files: {broken}"
    headed = [(link, *resolved(name, link)) for link in links(read(name)) if "#" in link]
    lost = [link for link, path, heading in headed if heading not in anchors(path.read_text(encoding="utf-8"))]
    assert not lost, f"no such headings: {lost}"


@pytest.mark.parametrize("name", GUIDES)
def test_files_that_are_named_are_there(name):
    missing = [file for file in FILE.findall(TABLE.sub("", read(name))) if not (ROOT / file).exists()]
    assert not missing


def test_every_guide_is_linked_from_the_readme():
    linked = set(links(read("README.md")))
    assert {name for name in GUIDES if name != "README.md"} <= linked

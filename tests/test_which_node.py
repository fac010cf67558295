"""docs/which_node.md leaves nothing out: every node and every workflow answers a wish, every paper has a picture."""

import re

from host import ROOT

PAGE = (ROOT / "docs" / "which_node.md").read_text(encoding="utf-8")
WISHES, PAPERS = PAGE.split("## The five papers")
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOWS = {path.stem for path in (ROOT / "workflows").glob("*.json")}


def test_every_node_grants_a_wish():
    nodes = set(re.findall(r"^\| \*\*([A-Z][\w -]+)\*\*:", README, re.MULTILINE))
    assert len(nodes) >= 20
    assert nodes - set(re.findall(r"\*\*([^*]+)\*\*", WISHES)) == set()


def test_every_workflow_grants_a_wish():
    linked = re.findall(r"\[(\w+)\]\(\.\./workflows/(\w+)\.json\)", WISHES)
    assert all(name == file for name, file in linked)
    assert {name for name, _ in linked} == WORKFLOWS


def test_every_row_of_a_table_is_whole():
    """As many cells as the heading has; a row with fewer loses its picture."""
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        cells = {line.count("|") for line in table.splitlines()}
        assert len(cells) == 1, table


def test_every_paper_has_a_picture():
    papers = PAPERS.split("\n### ")[1:]
    assert len(papers) == 5
    for paper in papers:
        assert "https://arxiv.org/abs/" in paper
        assert paper.count("<img ") == 1

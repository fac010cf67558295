"""docs/what_works.md: its cells are those that there are, every one has its answer, and a sample of them holds."""

import random
import re

import pytest
import torch
import what_works
from host import ROOT
from what_works import CELLS, TABLES, Cell, refused, require

PAGE = (ROOT / "docs" / "what_works.md").read_text(encoding="utf-8")
SAMPLE = random.Random(1).sample(CELLS, 24)


@pytest.fixture(autouse=True)
def _inference_mode():
    with torch.inference_mode():
        yield


def table_of(section):
    """The table of a section: {row: {column: cell}}."""
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    (_, *columns), _, *rows = lines
    return {name.removeprefix("= "): dict(zip(columns, cells, strict=True)) for name, *cells in rows}


def test_the_page_has_the_cells_that_there_are_and_each_one_holds():
    sections = re.split("^## .*$", PAGE, flags=re.MULTILINE)[1:]
    for (table, (rows, columns)), section in zip(TABLES.items(), sections, strict=True):
        found = table_of(section)
        assert [*found] == rows, "make matrix"
        for row, cells in found.items():
            assert [*cells] == columns, "make matrix"
            for column, text in cells.items():
                why = refused(Cell(table, row, column))
                assert text == (f"no: {why[0]}" if why else what_works.YES)


@pytest.mark.parametrize("cell", SAMPLE, ids=lambda cell: f"{cell.row}, {cell.column}")
def test_a_sample_of_the_cells_holds(cell):
    require(cell)


def test_what_makes_no_difference_and_what_is_not_refused_is_no_tick(monkeypatch):
    monkeypatch.setitem(what_works.FEATURES, "ControlNet", lambda asked: asked)
    with pytest.raises(AssertionError, match="makes no difference"):
        require(Cell("conditions", "ControlNet", "MultiDiffusion"))
    monkeypatch.setitem(what_works.SAME, "previews", lambda asked: 2 * what_works.sampled(asked))
    with pytest.raises(AssertionError, match="not close"):
        require(Cell("conditions", "previews", "MultiDiffusion"))
    monkeypatch.setitem(what_works.CANNOT, ("mask", "Sync"), ("no reason", "never"))
    with pytest.raises(AssertionError, match="was not refused"):
        require(Cell("conditions", "mask", "Sync"))

"""docs/what_works.md: its cells are those that there are, every one has its answer, and a sample of them holds."""

import random
import re

import pytest
from host import ROOT
from what_works import features
from what_works.cells import CELLS, NOTHING, Cell, in_place, require
from what_works.runs import sampled
from what_works.tables import TABLES

pytestmark = pytest.mark.usefixtures("inference_mode")

PAGE = (ROOT / "docs" / "what_works.md").read_text(encoding="utf-8")
QUICK = [name for name in TABLES if name != "compiled"]  # `test_overhead` has a compiled model
SAMPLE = [cell for name in QUICK for cell in random.Random(2).sample([cell for cell in CELLS if cell.table == name], 7)]


def table_of(section):
    """The table of a section: {row: {column: cell}}."""
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    (_, *columns), _, *rows = lines
    return {name.removeprefix("= "): dict(zip(columns, cells, strict=True)) for name, *cells in rows}


def test_the_page_has_the_cells_that_there_are_and_each_one_holds():
    sections = re.split("^## .*$", PAGE, flags=re.MULTILINE)[1:]
    for (name, table), section in zip(TABLES.items(), sections, strict=True):
        found = table_of(section)
        assert [*found] == table.rows, "make matrix"
        for row, cells in found.items():
            assert [*cells] == table.columns, "make matrix"
            for column, text in cells.items():
                assert text == in_place(Cell(name, row, column))


def test_what_there_is_not_has_its_reason_on_the_page():
    for table in TABLES.values():
        for (row, column), why in table.nothing.items():
            assert row in table.rows
            assert column in table.columns
            assert why in PAGE
    assert sum(len(table.nothing) for table in TABLES.values()) == len(re.findall(rf"(?<=\| ){NOTHING} (?=\|)", PAGE))


@pytest.mark.parametrize("cell", SAMPLE, ids=lambda cell: f"{cell.row}, {cell.column}")
def test_a_sample_of_the_cells_holds(cell):
    require(cell)


def test_what_makes_no_difference_and_what_is_not_refused_is_no_tick(monkeypatch):
    monkeypatch.setitem(features.FEATURES, "ControlNet", lambda asked: asked)
    with pytest.raises(AssertionError, match="makes no difference"):
        require(Cell("conditions", "ControlNet", "MultiDiffusion"))
    monkeypatch.setitem(features.SAME, "previews", lambda asked: 2 * sampled(asked))
    with pytest.raises(AssertionError, match="not close"):
        require(Cell("conditions", "previews", "MultiDiffusion"))
    monkeypatch.setitem(TABLES["conditions"].cannot, ("mask", "Sync"), ("no reason", "never"))
    with pytest.raises(AssertionError, match="was not refused"):
        require(Cell("conditions", "mask", "Sync"))

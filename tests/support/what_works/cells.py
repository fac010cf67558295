"""One cell of the tables, or all of them, run."""

import logging
import sys
from dataclasses import dataclass

import comfy.model_management
import comfy.utils
import comfyui_version
import torch

from .tables import TABLES

YES, NO, NOTHING = "✓", "✗", "–"  # noqa: RUF001  (a dash, as tables have it)


@dataclass(frozen=True)
class Cell:
    """One place of one table."""

    table: str
    row: str
    column: str


CELLS = [
    Cell(name, row, column)
    for name, table in TABLES.items()
    for row in table.rows
    for column in table.columns
    if (row, column) not in table.nothing
]


def refused(cell: Cell) -> tuple[str, str] | None:
    """Why the cell cannot be, and a word of the message that says so."""
    return TABLES[cell.table].cannot.get((cell.row, cell.column))


def require(cell: Cell) -> None:
    """Run what the cell stands for.

    Raises:
        AssertionError: it does not hold.
    """
    run = TABLES[cell.table].run
    if (why := refused(cell)) is None:
        run(cell.row, cell.column)
        return
    try:
        run(cell.row, cell.column)
    except (ValueError, RuntimeError) as error:
        if why[1] not in str(error):
            raise AssertionError(f"refused, but by: {error}") from error
    else:
        raise AssertionError("was not refused")


def in_place(cell: Cell) -> str:
    """What stands in the cell if all is well; a cell that is not among `CELLS` has nothing to run."""
    if (cell.row, cell.column) in TABLES[cell.table].nothing:
        return NOTHING
    why = refused(cell)
    return f"no: {why[0]}" if why else YES


def run_all() -> tuple[dict[Cell, str], str]:
    """What stands in each cell, and the version of the host. Why a cell does not hold is said on stderr."""
    comfy.utils.set_progress_bar_enabled(False)
    logging.disable(logging.WARNING)
    loaded, results = comfy.model_management.current_loaded_models, {}
    with torch.inference_mode():
        for cell in CELLS:
            loaded[:] = [model for model in loaded if model.model is not None]
            results[cell] = _answer(cell)
    return results, comfyui_version.__version__


def _answer(cell: Cell) -> str:
    try:
        require(cell)
    except Exception as error:  # whatever it is, it is in the way
        print(f"{cell}: {error!r}", file=sys.stderr)
        return NO
    return in_place(cell)

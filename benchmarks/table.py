"""Tables of what was measured: printed line by line, kept as tidy CSV files, and shown in the documents from these.

A file of `results/` has a comment of what made it, then one line for each number:

    # python -m benchmarks.figures msd; CPU, 1 thread; torch 2.14.1
    # what a reader has to know of all rows
    method,metric,value,low,high,panoramas
    MultiDiffusion,order violations,1.297,1.23,1.36,36

`low` and `high` bound the 95 % interval; they and `panoramas` are empty where there are none. A value may be words.
`python -m tools.fill_tables` puts the tables into the documents.
"""

import csv
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from math import floor, isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch  # not needed to read tables, and slow to load

RESULTS = Path(__file__).parent / "results"
FIELDS = ("metric", "value", "low", "high", "panoramas")

Value = float | tuple[float, float, float]  # a number, or one with the bounds of its interval
Cell = Value | str  # or words


class Table:
    """One table, printed while it grows.

    Args:
        name: of the CSV file, without the ending.
        first_column: what the rows are.
        columns: metrics in the order of the printed columns.
        note: what a reader has to know of all rows, in one line.
        device: where it was measured, as torch names it.
        command: what makes this table again; left out, it is this process.
    """

    def __init__(
        self,
        name: str,
        first_column: str,
        columns: Sequence[str],
        *,
        note: str = "",
        device: "str | torch.device" = "cpu",
        command: str = "",
    ):
        self.name, self.first_column, self.columns, self.note = name, first_column, tuple(columns), note
        self.origin = f"{command or this_command()}; {describe_device(device)}"
        self.lines: list[tuple[str, str, Cell, int | None]] = []
        print(f"\n{note}\n\n{_head(first_column, columns)}", flush=True)

    def row(self, label: str, metrics: Mapping[str, Cell], panoramas: int | None = None) -> None:
        """Print one row and keep it; `panoramas` is how many pictures its numbers rest on."""
        for metric, value in metrics.items():
            if metric not in self.columns:
                raise ValueError(f"{self.name}: metric must be one of {', '.join(self.columns)}, got {metric!r}.")
            self.lines.append((label, metric, value, panoramas))
        print(_line(label, [_cell(metrics.get(column)) for column in self.columns]), flush=True)

    def save(self, directory: Path = RESULTS) -> Path:
        """Write the CSV file and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            file.write(f"# {self.origin}\n" + (f"# {self.note}\n" if self.note else ""))
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([self.first_column, *FIELDS])
            for label, metric, value, panoramas in self.lines:
                middle, *bounds = value if isinstance(value, tuple) else (value, None, None)
                fields = (n if isinstance(n, str) else "" if n is None else f"{n:.6g}" for n in (middle, *bounds))
                writer.writerow([label, metric, *fields, "" if panoramas is None else panoramas])
        return path


def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The comments of a CSV file, without the sign, and its lines; `row` is the name of the first column in them."""
    text = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in text if line.startswith("# ")]
    header, *lines = csv.reader(line for line in text if not line.startswith("# "))
    return comments, [{"first column": header[0]} | dict(zip(("row", *FIELDS), line, strict=True)) for line in lines]


def markdown(path: Path, columns: Sequence[str] = (), digits: int | None = None, beside: Path | None = None) -> str:
    """The table of a CSV file, its metrics `columns` or all; `digits` behind the point, else three that count.

    `beside` is the same table for another world: its metrics stand beside those of the first, with its name. What is
    the same in both, such as views denoised, stands once.
    """
    rows, known, first_column = _rows(path)
    columns = columns or known
    if unknown := set(columns) - set(known):
        raise ValueError(f"{path.name}: metrics must be among {', '.join(known)}, got {', '.join(sorted(unknown))}.")
    if beside:
        world, others = beside.stem.rpartition("-")[2], _rows(beside)[0]
        apart = {metric for metric in columns if _column(rows, metric) != _column(others, metric)}
        for label, row in others.items():
            rows.setdefault(label, {}).update({f"{metric}, {world}": value for metric, value in row.items()})
        pairs = ([metric, f"{metric}, {world}"] if metric in apart else [metric] for metric in columns)
        columns = [name for pair in pairs for name in pair]
    return markdown_table(first_column, rows, columns, digits)


def _rows(path: Path) -> tuple[dict[str, dict[str, Cell]], list[str], str]:
    """The numbers of a CSV file by row and metric; its metrics; and what the rows are."""
    _, lines = read(path)
    rows: dict[str, dict[str, Cell]] = {}
    for line in lines:
        rows.setdefault(line["row"], {})[line["metric"]] = _value(line)
    return rows, list(dict.fromkeys(line["metric"] for line in lines)), lines[0]["first column"]


def _column(rows: Mapping[str, Mapping[str, Cell]], metric: str) -> dict[str, Cell]:
    return {label: row[metric] for label, row in rows.items() if metric in row}


def markdown_table(
    first_column: str,
    rows: Mapping[str, Mapping[str, Cell]],
    columns: Sequence[str] = (),
    digits: int | None = None,
) -> str:
    """Rows by their label as a table with these columns, or all; `digits` as in `markdown`."""
    columns = columns or list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = {label: {name: _cell(value, digits) for name, value in row.items()} for label, row in rows.items()}
    lines = [_line(label, [row.get(column, "") for column in columns]) for label, row in cells.items()]
    return "\n".join([_head(first_column, columns), *lines])


def number(path: Path, row: str, metric: str) -> str:
    """One number of a CSV file, for a sentence, without its interval."""
    known = {(line["row"], line["metric"]): float(line["value"]) for line in read(path)[1]}
    if (row, metric) not in known:
        raise ValueError(f"{path.name}: no number {metric!r} of {row!r}; it has the rows and metrics {[*known]}.")
    return _cell(known[row, metric])


def this_command() -> str:
    """The command of this process, with the number of threads where it was set, and without folders of this machine."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = ["-m", spec.name.removesuffix(".__main__")] if spec else []
    threads = os.environ.get("OMP_NUM_THREADS")
    arguments = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return (f"OMP_NUM_THREADS={threads} " if threads else "") + shlex.join(["python", *module, *arguments])


def describe_device(device: "str | torch.device") -> str:
    """A device in words, without the name of the machine, and the version of torch."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        name = f"{device.type.upper()}, {threads} thread{'s' * (threads > 1)}"
    return f"{name}; torch {torch.__version__.partition('+')[0]}"


def _head(first_column: str, columns: Sequence[str]) -> str:
    return _line(first_column, columns) + "\n" + "|---" * (len(columns) + 1) + "|"


def _line(label: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([label, *cells])} |"


def _value(line: Mapping[str, str]) -> Cell:
    try:
        numbers = [float(line[field]) for field in ("value", "low", "high") if line[field]]
    except ValueError:
        return line["value"]  # words
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1], numbers[2])


def _cell(value: Cell | None, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if not isinstance(value, tuple):
        return _number(value, _decimals(value) if digits is None else digits)
    decimals = _decimals(*value) if digits is None else digits
    middle, low, high = (_number(number, decimals) for number in value)
    return f"{middle} ({low} to {high})"


def _decimals(*values: float) -> int:
    """Digits behind the point that leave three that count of the largest; whole numbers have none."""
    largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    if largest == 0 or all(float(value).is_integer() for value in values):
        return 0
    return max(0, 2 - floor(log10(largest)))


def _number(value: float, decimals: int) -> str:
    return f"{value:.1e}" if decimals > 6 else f"{value:.{decimals}f}"

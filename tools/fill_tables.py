"""Put the tables and numbers of benchmarks/results/ into the documents: `make tables` runs it.

A table stands between two comments, below the command that printed it, and everything there is written anew:

    <!-- table benchmarks/results/msd.csv [metrics: FID, order violations] -->
    <!-- /table -->

Without the bracket all metrics are shown. Where there is the same table for the town, `msd-town.csv`, its metrics stand
beside them. A single number within a sentence names its row and its metric:

    <!-- number benchmarks/results/msd.csv [MSD: order violations] -->0.2<!-- /number -->
"""

import re
from pathlib import Path

from benchmarks.table import markdown, number, read

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "benchmarks/README.md", "demo/README.md", "docs/*.md")
TABLE = re.compile(r"(<!-- table (\S+)(?: \[metrics: ([^\]]+)\])? -->\n).*?(<!-- /table -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- number (\S+) \[([^\]:]+): ([^\]]+)\] -->).*?(<!-- /number -->)")


def documents() -> list[Path]:
    """Those that may have tables."""
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def filled(text: str) -> str:
    """A document with its tables and numbers as the CSV files have them."""
    text = NUMBER.sub(lambda found: found[1] + number(_existing(found[2]), found[3], found[4]) + found[5], text)
    return TABLE.sub(lambda found: found[1] + _table(_existing(found[2]), found[3]) + found[4], text)


def _existing(name: str) -> Path:
    if not (path := ROOT / name).exists():
        raise FileNotFoundError(f"{name}: no such table; run the benchmark that writes it first.")
    return path


def of_the_town(path: Path) -> Path:
    """The same table for the second world."""
    return path.with_stem(f"{path.stem}-town")


def _table(path: Path, metrics: str | None) -> str:
    beside = of_the_town(path) if of_the_town(path).exists() else None
    said = "\n\n".join(_said(table) for table in (path, beside) if table)
    columns = [metric.strip() for metric in metrics.split(",")] if metrics else []
    return f"\n{said}\n\n{markdown(path, columns, beside=beside)}\n\n"


def _said(path: Path) -> str:
    """What made a table, and what a reader has to know of it."""
    origin, *notes = read(path)[0]
    command, *where = origin.split("; ")
    return f"`{command}` ({', '.join(where)})" + (": " + " ".join(notes) if notes else ".")


def main() -> None:
    """Bring all documents up to date, and print those that were not."""
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()

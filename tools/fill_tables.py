"""Put the tables of benchmarks/results/ into the documents: `make tables` runs it.

A table stands between two comments, below the command that printed it, and everything there is written anew:

    <!-- table benchmarks/results/msd.csv [metrics: FID, order violations] -->
    <!-- /table -->

Without the bracket all metrics are shown.
"""

import re
from pathlib import Path

from benchmarks.table import markdown, read

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "benchmarks/README.md", "demo/README.md", "docs/*.md")
BLOCK = re.compile(r"(<!-- table (\S+)(?: \[metrics: ([^\]]+)\])? -->\n).*?(<!-- /table -->)", re.DOTALL)


def documents() -> list[Path]:
    """Those that may have tables."""
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def filled(text: str) -> str:
    """A document with its tables as the CSV files have them."""
    return BLOCK.sub(lambda block: block[1] + _table(ROOT / block[2], block[3]) + block[4], text)


def _table(path: Path, metrics: str | None) -> str:
    if not path.exists():
        raise FileNotFoundError(f"{path.relative_to(ROOT)}: no such table; run the benchmark that writes it first.")
    origin, *notes = read(path)[0]
    command, *where = origin.split("; ")
    note = ": " + " ".join(notes) if notes else "."
    columns = [metric.strip() for metric in metrics.split(",")] if metrics else []
    return f"\n`{command}` ({', '.join(where)}){note}\n\n{markdown(path, columns)}\n\n"


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

"""Write docs/what_works.md: every cell of the tables of tests/support/what_works is run. `make matrix` runs it.

A cell that does not hold ends it with 1, and has a cross in the document.
"""

import datetime
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "what_works.md"
INTRODUCTION = """# What works together

Each tick comes from a run of the real ComfyUI {version} with a tiny model of the family, on {date}
(`make matrix` writes this page anew). It says that the parts meet, and that each of them acts. That windows equal what
the host says of cropped pictures is tested number by number elsewhere: [all together]({tests}/test_composition.py),
[conditions]({tests}/test_conditioning.py), [ControlNets of all kinds]({tests}/test_control.py),
[reference latents]({tests}/test_references.py), [pictures of model patches]({tests}/test_model_patches.py),
[compiled models]({tests}/test_overhead.py).

No run here is on a GPU, and none has trained weights. Chroma Radiance stands for the models that paint in pixels.
"""
TESTS = "../tests/nodes/host/windows"


def document(results: dict, version: str, date: str) -> str:
    """The page; `results` has for each cell that there is whether it holds, or why it cannot be."""
    from what_works.cells import NOTHING, Cell
    from what_works.features import SAME
    from what_works.tables import TABLES

    parts = [INTRODUCTION.format(version=version, date=date, tests=TESTS)]
    for name, table in TABLES.items():
        lines = ["| | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|"]
        for row in table.rows:
            cells = [results.get(Cell(name, row, column), NOTHING) for column in table.columns]
            lines.append(f"| {'= ' * (row in SAME)}{row} | " + " | ".join(cells) + " |")
        parts += [f"## {table.title}\n\n{table.tick}\n", "\n".join(lines) + "\n"]
        if table.nothing:
            parts.append(f"{NOTHING} says that there is no such thing:\n\n" + "\n".join(_reasons(table.nothing)) + "\n")
    return "\n".join(parts)


def _reasons(nothing: dict[tuple[str, str], str]) -> list[str]:
    """A line for each reason, with the rows that it is for."""
    rows: dict[str, dict[str, None]] = {}
    for (row, _), why in nothing.items():
        rows.setdefault(why, {})[row] = None
    return [f"- {', '.join(names)}: {why}" for why, names in rows.items()]


def main() -> None:
    """Run all cells, and write the page."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "nodes"))
    from host import load_pack

    sys.argv = sys.argv[:1]
    import conftest  # noqa: F401  (the host in this process)

    load_pack()
    from what_works.cells import NO, run_all

    results, version = run_all()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    DOCUMENT.write_text(document(results, version, date), encoding="utf-8")
    sys.exit(NO in results.values())


if __name__ == "__main__":
    main()

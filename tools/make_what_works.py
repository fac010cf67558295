"""Write docs/what_works.md: every cell of the tables of tests/support/what_works.py is run. `make matrix` runs it.

A cell that does not hold ends it with 1, and has a cross in the document.
"""

import datetime
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "what_works.md"
HEADS = {
    "models": "Models and methods",
    "conditions": "Conditions, options of a run, and methods",
    "patches": "Patches of ComfyUI's own nodes, and methods",
}
SAID = {
    "models": "A tick: the numbers are finite, and the method makes another picture than MultiDiffusion "
    "(MultiDiffusion: than the model on the whole canvas).",
    "conditions": "On SD 1.5. A tick: without the condition, and without the method, the picture is another. What is "
    "marked with = must change nothing but the rounding, and a tick says that it does not.",
    "patches": "On SD 1.5. A tick: with the patch the picture is another than without it.",
}
INTRODUCTION = """# What works together

Each tick comes from a run of the real ComfyUI {version} with a tiny model of the family, on {date}
(`make matrix` writes this page anew). It says that the parts meet, and that each of them acts. That windows equal what
the host says of cropped pictures is tested number by number elsewhere: [all together]({tests}/test_composition.py),
[conditions]({tests}/test_conditioning.py), [ControlNets of all kinds]({tests}/test_control.py),
[reference latents]({tests}/test_references.py), [pictures of model patches]({tests}/test_model_patches.py),
[compiled models]({tests}/test_overhead.py).

No run here is on a GPU, and none has trained weights. Models that paint in pixels were not run.
"""
TESTS = "../tests/nodes/host/windows"


def document(results: dict, version: str, date: str) -> str:
    """The page; `results` has for each cell whether it holds, or why it cannot be."""
    import what_works

    parts = [INTRODUCTION.format(version=version, date=date, tests=TESTS)]
    for table, (rows, columns) in what_works.TABLES.items():
        lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for row in rows:
            cells = [results[what_works.Cell(table, row, column)] for column in columns]
            mark = "= " if row in what_works.SAME else ""
            lines.append(f"| {mark}{row} | " + " | ".join(cells) + " |")
        parts.append(f"## {HEADS[table]}\n\n{SAID[table]}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Run all cells, and write the page."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "nodes"))
    from host import load_pack

    sys.argv = sys.argv[:1]
    import conftest  # noqa: F401  (the host in this process)

    load_pack()
    import what_works

    results, version = what_works.run_all()
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    DOCUMENT.write_text(document(results, version, date), encoding="utf-8")
    sys.exit(what_works.NO in results.values())


if __name__ == "__main__":
    main()

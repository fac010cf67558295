"""Tables and numbers in the documents are what benchmarks/results/ has, and everything there is shown."""

import re
import subprocess
import sys

import pytest
from host import ROOT
from joint_diffusion.benchmarks.table import Table, markdown, number, read

DOCUMENTS = ["README.md", "benchmarks/README.md", "demo/README.md"]
DOCUMENTS += [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))


def text_of_documents():
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)


def run(code, *args):
    return subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True)


def test_filling_in_again_changes_nothing():
    old = "print(*[path.name for path in documents() if filled(path.read_text()) != path.read_text()])"
    result = run(f"from tools.fill_tables import documents, filled; {old}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], "python -m tools.fill_tables brings them up to date"


def test_every_result_is_shown():
    """But for those of `make gpu`, which stand in a report, and those of the town beside those of landscapes."""
    shown = set(re.findall(r"<!-- table (\S+)", text_of_documents()))
    tables = {path.name for path in RESULTS}
    reports = {name for name in tables if name.startswith("gpu-")}
    beside = {name for name in tables if name.endswith("-town.csv") and name.replace("-town", "") in tables}
    assert {f"benchmarks/results/{name}" for name in tables - reports - beside} <= shown
    assert all((path.parent / f"{path.stem}.md").is_file() for path in RESULTS if path.name in reports)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_table_is_closed(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(re.findall(r"<!-- table \S+.* -->", text)) == text.count("<!-- /table -->")


@pytest.fixture
def saved(tmp_path):
    table = Table("two", "method", ["FID", "calls"], note="2 seeds.", command="python -m benchmarks.two")
    table.row("plain", {"FID": (12.345, 11.0, 14.5), "calls": 900}, panoramas=2)
    table.row("guided", {"FID": 0.01234})
    return table.save(tmp_path)


@pytest.fixture
def beside(saved):
    """The same for the town."""
    command = "python -m benchmarks.two --world town"
    table = Table("two-town", "method", ["FID", "calls"], note="Of the town.", command=command)
    table.row("plain", {"FID": 9.5, "calls": 900})
    return table.save(saved.parent)


def test_a_table_is_printed_as_it_is_read(tmp_path, capsys):
    table = Table("one", "method", ["FID", "calls"])
    table.row("plain", {"FID": (12.345, 11.0, 14.5)})
    table.row("guided", {"calls": 1940, "FID": -0.0012})
    assert markdown(table.save(tmp_path)) in capsys.readouterr().out


def test_the_town_stands_beside_the_landscapes(saved, beside):
    code = "from tools.fill_tables import _table; print(_table(Path(sys.argv[1]), 'FID'))"
    done = run(f"import sys; from pathlib import Path; {code}", str(saved))
    assert done.stdout.split("\n\n")[-2].strip().splitlines() == [
        "| method | FID | FID, town |",
        "|---|---|---|",
        "| plain | 12.3 (11.0 to 14.5) | 9.50 |",
        "| guided | 0.0123 |  |",
    ], done.stderr
    assert "`python -m benchmarks.two`" in done.stdout
    assert "`python -m benchmarks.two --world town`" in done.stdout


def test_what_is_the_same_in_both_worlds_stands_once(saved, beside):
    assert markdown(saved, beside=beside).splitlines()[0] == "| method | FID | FID, town | calls |"


def test_numbers_have_three_digits_that_count(saved):
    assert markdown(saved).splitlines() == [
        "| method | FID | calls |",
        "|---|---|---|",
        "| plain | 12.3 (11.0 to 14.5) | 900 |",
        "| guided | 0.0123 |  |",
    ]
    assert "12.35 (11.00 to 14.50)" in markdown(saved, ["FID"], digits=2)


def test_a_file_says_where_it_comes_from(saved):
    comments, lines = read(saved)
    assert comments[0].startswith("python -m benchmarks.two; CPU, ")
    assert comments[1] == "2 seeds."
    assert lines[0] == {
        "first column": "method",
        "row": "plain",
        "metric": "FID",
        "value": "12.345",
        "low": "11",
        "high": "14.5",
        "panoramas": "2",
    }


def test_words_are_read_as_they_were_written(tmp_path, capsys):
    table = Table("words", "input", ["one", "other"])
    table.row("batch", {"one": "right", "other": "silently wrong, a | b"})
    table.row("mask", {"one": 2.5, "other": "error"})
    path = table.save(tmp_path)
    lines = ["| batch | right | silently wrong, a \\| b |", "| mask | 2.50 | error |"]
    assert markdown(path).splitlines()[2:] == lines
    assert markdown(path) in capsys.readouterr().out


def test_a_metric_that_is_not_there_is_named(saved):
    with pytest.raises(ValueError, match=r"two\.csv: metrics must be among FID, calls, got speed"):
        markdown(saved, ["speed"])
    with pytest.raises(ValueError, match=r"two: metric must be one of FID, got 'speed'"):
        Table("two", "method", ["FID"]).row("plain", {"speed": 1.0})


def test_a_table_takes_the_place_of_the_one_before(saved):
    """In a copy of a document, between its comments, and nothing outside them."""
    document = f"before\n<!-- table {saved} [metrics: calls] -->\nold\n<!-- /table -->\nafter\n"
    result = run("import sys; from tools.fill_tables import filled; print(filled(sys.argv[1]), end='')", document)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old" not in lines
    assert "| plain | 900 |" in lines
    assert "| method | calls |" in lines
    assert any(line.startswith("`python -m benchmarks.two` (CPU, ") and line.endswith(": 2 seeds.") for line in lines)


def test_a_number_takes_the_place_of_the_one_before(saved):
    document = f"costs <!-- number {saved} [plain: calls] -->1<!-- /number --> calls, not 2\n"
    result = run("import sys; from tools.fill_tables import filled; print(filled(sys.argv[1]), end='')", document)
    assert result.returncode == 0, result.stderr
    assert result.stdout == document.replace("-->1<", "-->900<")


def test_a_number_that_is_not_there_is_named(saved):
    with pytest.raises(ValueError, match=r"two\.csv: no number 'calls' of 'guided'"):
        number(saved, "guided", "calls")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_number_is_closed_and_within_a_line(name):
    """One that the pattern misses would stay as it is for good; one that begins a line would end its paragraph."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"<!-- number \S+ \[[^\]:]+: [^\]]+\] -->[\d.e-]+<!-- /number -->", text)
    assert len(found) == text.count("<!-- number ") == text.count("<!-- /number -->")
    assert "\n<!-- number " not in text


def test_a_missing_file_is_named():
    document = "<!-- table benchmarks/results/nothing.csv -->\n<!-- /table -->"
    result = run("import sys; from tools.fill_tables import filled; filled(sys.argv[1])", document)
    assert "benchmarks/results/nothing.csv: no such table; run the benchmark that writes it first." in result.stderr

"""The benchmarks run; what they show is in benchmarks/README.md."""

import re
import subprocess
import sys

from host import ROOT

RUNS = {  # and the number of lines in their tables
}
ALL = """
import runpy, sys
for run in sys.argv[1:]:
    print("run:", run, flush=True)
    name, *options = run.split()
    sys.argv = [name, *options]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
"""


def test_benchmarks_print_their_tables():
    """In one process, since measuring with all palettes takes some seconds to get ready."""
    done = subprocess.run([sys.executable, "-c", ALL, *RUNS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("run: ")[1:]
    for output, (run, lines) in zip(outputs, RUNS.items(), strict=True):
        assert output.startswith(run)
        heads = len(re.findall(r"^\|---", output, re.MULTILINE))
        assert len(re.findall(r"^\| ", output, re.MULTILINE)) - heads == lines
        assert "nan" not in output

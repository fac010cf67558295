"""The table of windows says what the core counts, and the core counts what can be counted by hand."""

import json
from functools import cache

from commands import python
from joint_diffusion.benchmarks.table import RESULTS, read

COUNTED = "import json; from benchmarks.figures.plans import CANVASES, counts;"
COUNTED += "print(json.dumps([[name, *found] for name, canvas in CANVASES.items() for found in counts(*canvas)]))"


@cache
def counted():
    done = python("-c", COUNTED)
    assert done.returncode == 0, done.stderr
    return {(name, metric): views for name, metric, views in json.loads(done.stdout)}


def test_the_table_is_what_the_core_counts():
    _, lines = read(RESULTS / "plans.csv")
    assert {(line["row"], line["metric"]): int(line["value"]) for line in lines} == counted()


def test_a_strip_and_two_rows_counted_by_hand():
    views = counted()
    strip, rows = "SD 1.5, 2048 x 512", "SD 1.5, 4096 x 1024"
    assert views[strip, "overlap 0.5"] == (2048 - 512) // 256 + 1
    assert views[strip, "Sync Guidance"] == views[strip, "overlap 0.5"]
    assert views[strip, "moving windows"] in (4, 5)
    assert (strip, "Multi-Scale Sampler") not in views
    finest, coarsest = 15 * 3, 7
    assert views[rows, "Multi-Scale Sampler"] == views[rows, "both"] == finest + coarsest
    assert views[rows, "both, guidance gradient"] == 2 * finest + coarsest
    fewest, most = 8 * 2, 9 * 3  # on the canvas; the coarse one is looked at as ever
    assert fewest + coarsest <= views[rows, "both, moving windows"] <= most + coarsest

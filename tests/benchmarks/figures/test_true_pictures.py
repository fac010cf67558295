"""What the nodes take for usual is what true pictures measure."""

import pytest
from commands import python
from joint_diffusion.benchmarks.table import RESULTS, read
from joint_diffusion.core.measure import judgement

USUAL = {
    "seam energy": judgement.SEAM_ENERGY,
    "worst seam": judgement.WORST_SEAM,
    "wrap error": judgement.WRAP_ERROR,
    "palette distance": judgement.PALETTE_DISTANCE,
    "style distance": judgement.STYLE_DISTANCE,
}


@pytest.mark.parametrize("measure", USUAL)
def test_the_usual_is_that_of_the_table_rounded_up(measure):
    _, lines = read(RESULTS / "true-pictures.csv")
    found = {line["metric"]: float(line["value"]) for line in lines if line["row"] == measure}
    for usual, name in ((USUAL[measure].most, "95 of 100"), (USUAL[measure].all, "all")):
        assert 0 <= usual - found[name] < 0.01


def test_verdicts():
    usual = judgement.Usual(1.1, 1.2)
    verdicts = {measured: usual.verdict(measured) for measured in (0.5, 1.1, 1.15, 1.2, 1.21)}
    assert verdicts == {0.5: "good", 1.1: "good", 1.15: "fair", 1.2: "fair", 1.21: "bad"}


def test_a_quick_run_of_the_command(tmp_path):
    done = python("-m", "benchmarks.figures.true_pictures", "--seeds", "1", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    _, lines = read(tmp_path / "true-pictures.csv")
    assert {line["row"] for line in lines} == set(USUAL)
    assert {line["panoramas"] for line in lines} == {"2"}
    for measure in USUAL:
        median, most, largest = (float(line["value"]) for line in lines if line["row"] == measure)
        assert 0 < median <= most <= largest

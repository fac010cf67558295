"""Parts of `make gpu` share the time, and a failure ends one case alone. Nothing is measured here."""

import signal
import time

import pytest
from joint_diffusion.benchmarks.gpu.parts import Case, Part, run_parts
from joint_diffusion.benchmarks.gpu.report import Report

alarm = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarm")


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path, "gpu-none", "# none", "a test")


class Bench:
    """What has no model; `fails` is whether the device does when its memory is freed."""

    def __init__(self, fails=False):
        self.fails, self.forgotten = fails, 0

    def forget(self):
        self.forgotten += 1
        if self.fails:
            broken()


def row(number):
    return lambda: {f"row {number}": {"number": number}}


def forever():
    while True:
        time.sleep(0.01)


def stubborn():
    """Hears the first alarm too late, as what is called by the garbage collector does."""
    try:
        forever()
    except BaseException:
        return row(1)()


def broken():
    raise RuntimeError("no\nkernel")


def run(report, parts, seconds=60.0, shares=None, bench=None):
    """The text of the report."""
    shares, end = shares or dict.fromkeys(parts, 1), time.monotonic() + seconds
    run_parts(shares, parts.__getitem__, bench or Bench(), report, end)
    return report.markdown.read_text(encoding="utf-8")


def part(*measures):
    return Part("What it is.", lambda _: [Case(f"case {n}", measure) for n, measure in enumerate(measures)])


def test_a_case_that_fails_is_told_and_the_others_go_on(report):
    text = run(report, {"one": part(row(1), broken, row(3)), "two": part(row(4))})
    assert "**case 1 failed.** RuntimeError: no kernel" in text
    assert report.csv.read_text(encoding="utf-8").splitlines() == [
        "# a test",
        "part,row,metric,value",
        "one,row 1,number,1",
        "one,row 3,number,3",
        "two,row 4,number,4",
    ]


def test_a_part_that_cannot_be_loaded_is_told(report):
    class Parts(dict):
        def __getitem__(self, name):
            return super().__getitem__(name) if name == "two" else broken()

    text = run(report, Parts(one=None, two=part(row(4))))
    assert "## one\n\n**All of it failed.** RuntimeError: no kernel" in text
    assert "| row 4 | 4 |" in text


def test_the_model_is_forgotten_after_each_part_even_if_the_device_fails(report):
    bench = Bench(fails=True)
    text = run(report, {"one": part(row(1)), "two": part(row(2))}, bench=bench)
    assert bench.forgotten == text.count("**Freeing its memory failed.** RuntimeError: no kernel") == 2
    assert "| row 2 | 2 |" in text


@alarm
def test_a_part_out_of_time_says_what_it_left_out(report):
    began = time.monotonic()
    text = run(report, {"one": part(row(1), forever, row(3)), "two": part(row(4))}, 20, {"one": 1, "two": 99})
    assert time.monotonic() - began < 10
    assert "| row 1 | 1 |" in text
    assert "**Left out, as the time of this part was over:** case 1 (begun); case 2." in text
    assert "| row 4 | 4 |" in text


@alarm
def test_what_a_part_does_not_use_is_for_those_behind_it(report):
    began = time.monotonic()
    run(report, {"one": part(row(1)), "two": part(forever)}, 0.5)
    assert time.monotonic() - began > 0.4  # not only its own half


@alarm
def test_no_alarm_rings_after_its_case(report):
    run(report, {"one": part(stubborn)}, 0.2)
    time.sleep(0.3)


def test_a_stop_midway_keeps_what_is_done(report):
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(report, {"one": part(row(1), stopped)})
    assert "| row 1 | 1 |" in report.markdown.read_text(encoding="utf-8")
    assert "one,row 1,number,1" in report.csv.read_text(encoding="utf-8")

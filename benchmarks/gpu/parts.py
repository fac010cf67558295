"""How the parts of the report are run: each has a share of the time, and no failure ends more than one case."""

import gc
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from .report import Report

if TYPE_CHECKING:
    from .bench import Bench  # needs the host

AGAIN = 5.0  # seconds after which the alarm rings again, if what it interrupted did not hear it

Rows = Mapping[str, Mapping[str, float]]  # label -> metric -> value


class Case(NamedTuple):
    """What is measured in one piece, and its rows."""

    label: str
    measure: Callable[[], Rows]


class Part(NamedTuple):
    """One table of the report."""

    about: str
    cases: "Callable[[Bench], Iterable[Case]]"  # nothing is loaded or measured yet


class OutOfTime(BaseException):
    """Not an Exception: those are caught on the way, as what a model does when memory runs out."""


def run_parts(
    shares: Mapping[str, float], load: Callable[[str], Part], bench: "Bench", report: Report, end: float
) -> None:
    """Run the parts one after another until `end`, a time of `time.monotonic`.

    Args:
        shares: of the time, by the name of the part. One that takes less leaves the rest to those behind it.
        load: what gives the part of a name.
        bench: for the cases; forgets its model after each part.
        report: what the rows and the failures are written to.
        end: no case is running after it.
    """
    left = sum(shares.values())
    for name, share in shares.items():
        began = time.monotonic()
        with _failures_in(report, name, "All of it"):
            part = load(name)
            report.begin(name, part.about)
            _run(name, part.cases(bench), report, began + (end - began) * share / left)
        with _failures_in(report, name, "Freeing its memory"):
            bench.forget()
        report.remark(name, f"{time.monotonic() - began:.0f} s.")
        left -= share


def _run(name: str, cases: Iterable[Case], report: Report, end: float) -> None:
    left_out = []
    for case in cases:
        if (seconds := end - time.monotonic()) <= 0:
            left_out.append(case.label)
            continue
        try:
            with _failures_in(report, name, case.label):
                with _at_most(seconds):
                    rows = case.measure()
                for row, numbers in rows.items():
                    report.add(name, row, numbers)
        except OutOfTime:
            left_out.append(f"{case.label} (begun)")
    if left_out:
        report.remark(name, f"**Left out, as the time of this part was over:** {'; '.join(left_out)}.")


@contextmanager
def _failures_in(report: Report, part: str, what: str) -> Iterator[None]:
    """An error inside is written to the report: the other cases are worth having."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        report.remark(part, f"**{what} failed.** {type(error).__name__}: {' '.join(str(error).split())}")
    else:
        return
    gc.collect()  # what the error held


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside when so many have passed; on Windows, which has no such alarm, never."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

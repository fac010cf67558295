"""A step through windows against the same windows through the model alone, by family and precision.

Import only after `host.start_host`.
"""

from collections.abc import Iterator
from functools import partial

from ..speed.contenders import BARE, PLAIN
from .bench import Bench
from .parts import Case, Part, Rows


def _cases(bench: Bench) -> Iterator[Case]:
    for family in bench.families:
        for precision in bench.halves:
            yield Case(f"{family}, {precision}", partial(_against_bare, bench, family, precision))


def _against_bare(bench: Bench, family: str, precision: str) -> Rows:
    # A step of a large transformer takes seconds.
    canvas, turns = ((1, 2), 1) if family == "flux" else (bench.strip, 2)
    contenders = bench.contenders(family, precision, canvas)
    measured = bench.measured(contenders, {BARE: contenders.bare, PLAIN: contenders.ours()}, turns)
    bare = measured[BARE]["seconds"]
    return {
        f"{contenders.subject.name}, {precision}, {name}": numbers | {"times the bare model": numbers["seconds"] / bare}
        for name, numbers in measured.items()
    }


PART = Part(
    "One step of MultiDiffusion on a strip of 1 x 4 native windows (1 x 2 for Flux) with overlaps of a half, and the "
    "same windows through the model alone: already cut, never fused, without a sampler. Euler, two prompts.",
    _cases,
)

"""Time and memory of runs that take several steps."""

import re
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..clock import now

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Tick = Callable[[], None]
Run = Callable[[int, Tick], Tensor]
"""(steps, what to call at the end of each) -> the sampled latent."""


class Measured(NamedTuple):
    """A run."""

    seconds: float  # median of a step
    rows: int  # of the model's batches in one step
    calls: int  # of the model in one step
    result: Tensor  # what was sampled


class Clock(list[float]):
    """Moments at which steps ended."""

    def __call__(self) -> None:
        self.append(now())

    @property
    def steps(self) -> list[float]:
        """Seconds of each step but the first, which sets things up."""
        return [after - before for before, after in pairwise(self)]


def take_turns(runs: Mapping[str, Run], network: torch.nn.Module, steps: int, repetitions: int) -> dict[str, Measured]:
    """Measure all runs; they take turns, so that a busy machine slows all of them alike.

    Each has its turn `repetitions` times, with at least 2 `steps`: the first is not measured. Calls of `network` count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    last: dict[str, tuple[list[int], Tensor]] = {}
    for _ in range(repetitions):
        for name, run in runs.items():
            clock, rows = Clock(), list[int]()
            hook = network.register_forward_pre_hook(partial(_count_rows, rows))
            last[name] = rows, run(steps, clock)
            hook.remove()
            seconds[name] += clock.steps
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {
        name: Measured(statistics.median(seconds[name]), sum(rows) // steps, len(rows) // steps, result)
        for name, (rows, result) in last.items()
    }


def _count_rows(rows: list[int], _module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    rows.append(len(inputs[0]))


def peak_memory(work: Callable[[], object]) -> float:
    """How far the memory of this process, or of the GPU, rises above what it was before, in MiB."""
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    return peak_resident(work)


def peak_resident(work: Callable[[], object]) -> float:
    """How far the memory of this process rises above what it was before, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far, which loading the model made
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """Memory of this process in MiB (Linux): VmRSS now, VmHWM at its peak.

    `getrusage` would begin with the peak of the parent.
    """
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024

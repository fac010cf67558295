"""A thousand runs in one process: memory, objects and open files before and after.

Import only after `host.start_host`.
"""

import gc
import random
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from .moments import Painted, paint
from .subjects import Scene, Subject

EVERY = 20  # so many runs have one that fails


@dataclass
class Growth:
    """What there is more of at the end, and how many runs gave another picture than the first."""

    runs: int
    differ: int
    objects: int
    tensors: int
    files: int
    mebibytes: float


def many_runs(scene: Scene, subjects: Sequence[Subject], runs: int, seed: int) -> Growth:
    """The subjects in turn. What all of them remember for good is there after two rounds of each, faults included."""
    lot, painted = random.Random(seed), [Painted(scene, subject) for subject in subjects]
    for number in range(2 * len(painted)):
        _one(painted[number % len(painted)], number % 2 == 1, lot)
    before = _there()
    differ = sum(_one(painted[number % len(painted)], number % EVERY == EVERY - 1, lot) for number in range(runs))
    objects, tensors, files, memory = (after - was for after, was in zip(_there(), before, strict=True))
    return Growth(runs, differ, int(objects), int(tensors), int(files), memory / 2**20)


def _one(painted: Painted, with_fault: bool, lot: random.Random) -> bool:
    """Whether the picture is another one."""
    if with_fault:
        return bool(painted.disturb(lot.choice(painted.kinds()), lot).complaints)
    return not painted.is_right(paint(painted.subject))


def _there() -> tuple[float, ...]:
    gc.collect()
    objects = gc.get_objects()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in objects)
    process = psutil.Process()
    return len(objects), tensors, process.num_fds(), process.memory_info().rss

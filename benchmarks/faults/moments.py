"""Faults at random moments of every method: how the run ends, what it leaves, and what the next run gives.

Import only after `host.start_host`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

import comfy.model_management
import torch
from comfy.model_management import InterruptProcessingException

from tests.support.full_disk import full_disk

from .injection import SITES, Fault, calls_of, fail, interrupt, layers, no_memory_from, run_out_of_memory
from .rows import ALWAYS, ERROR, FULL, INTERRUPT, KINDS, ONCE
from .state import changed, state_of
from .subjects import Result, Scene, Subject

FIRES = {INTERRUPT: interrupt, ONCE: run_out_of_memory, ERROR: fail}


@dataclass
class Outcome:
    """What a fault did. All texts and lists are empty where nothing is wrong."""

    kind: str
    of: str
    survived: bool = False
    ended: str = ""
    left: list[str] = field(default_factory=list)
    differs: bool = False
    half_written: list[str] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        said = [self.ended] if self.ended else []
        said += [f"changed: {', '.join(self.left[:5])}"] if self.left else []
        said += ["the next run differs"] if self.differs else []
        return said + [f"left: {name}" for name in self.half_written]


class Painted:
    """A subject, what it gives undisturbed, and how often each of its sites is called."""

    def __init__(self, scene: Scene, subject: Subject):
        self.scene, self.subject = scene, subject
        paint(subject)  # whatever is loaded or remembered the first time
        scene.written = 0
        with layers() as seen:
            self.reference = paint(subject)
        self.layers = seen[0]
        self.calls = {site: _counted(subject, site) for site in SITES}
        self.written = scene.written
        self.state = state_of(subject.watched)

    def kinds(self) -> list[str]:
        """The faults that it can have."""
        without = ({ALWAYS} if not self.layers else set()) | ({FULL} if not self.written else set())
        return [kind for kind in KINDS if kind not in without]

    def is_right(self, result: Sequence[Result]) -> bool:
        """Whether that is what it gives undisturbed."""
        return same(result, self.reference)

    def disturb(self, kind: str, lot: random.Random) -> Outcome:
        """Run with a fault at a random moment, and once more without."""
        site = lot.choice([name for name, count in self.calls.items() if count])
        count = {ALWAYS: self.layers, FULL: self.written}.get(kind, self.calls[site])
        # A full disk is full before the last byte.
        moment = lot.randint(1, count) if kind != FULL else lot.randrange(count - 1)
        what = {ALWAYS: "layer", FULL: "byte"}.get(kind, site)
        outcome = Outcome(kind, f"{self.subject.name}, {what} {moment} of {count}")
        had_to_survive = [False]
        result, error = self._with_fault(kind, site, moment, had_to_survive)
        self._judge(outcome, result, error, had_to_survive[0])
        del result, error
        comfy.model_management.interrupt_current_processing(False)
        outcome.half_written = [path.name for path in self.scene.files()]
        self.scene.taken()
        outcome.left = changed(self.state, state_of(self.subject.watched))
        outcome.differs = not same(paint(self.subject), self.reference)
        return outcome

    def _with_fault(
        self, kind: str, site: str, moment: int, had_to_survive: list[bool]
    ) -> tuple[list[Result] | None, BaseException | None]:
        def fire(frame: FrameType) -> None:
            had_to_survive[0] = kind == ONCE and _can_be_smaller(frame)
            FIRES[kind](frame)

        if kind == ALWAYS:
            fault = no_memory_from(moment)
        elif kind == FULL:
            fault = full_disk(moment)
        else:
            fault = calls_of(site, moment, fire)
        try:
            with fault:
                return paint(self.subject), None
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return None, error.with_traceback(None)

    def _judge(
        self, outcome: Outcome, result: list[Result] | None, error: BaseException | None, had_to_survive: bool
    ) -> None:
        wanted = {INTERRUPT: InterruptProcessingException, ERROR: Fault, FULL: OSError}.get(outcome.kind)
        if error is not None:
            right = isinstance(error, wanted) if wanted else comfy.model_management.is_oom(error)
            if not right or had_to_survive:
                outcome.ended = f"ended with {error!r}"
            return
        outcome.survived = True
        assert result is not None
        if outcome.kind in (ERROR, ALWAYS, FULL):
            outcome.ended = "nobody noticed"
        elif outcome.kind == INTERRUPT and not same(result, self.reference):
            outcome.ended = "the click came too late, but the picture is another"
        elif had_to_survive and not close(result, self.reference):
            outcome.ended = "survived, but the picture is another"


def disturbances(scene: Scene, subjects: Sequence[Subject], count: int, seed: int) -> Iterator[Outcome]:
    """So many faults, spread over all subjects and over the kinds that each can have."""
    lot = random.Random(seed)
    each = [count // len(subjects) + (number < count % len(subjects)) for number in range(len(subjects))]
    for subject, faults in zip(subjects, each, strict=True):
        painted = Painted(scene, subject)
        kinds = painted.kinds()
        for number in range(faults):
            yield painted.disturb(kinds[number % len(kinds)], lot)


def paint(subject: Subject) -> list[Result]:
    """What the subject gives, as the host would run it."""
    loaded = comfy.model_management.current_loaded_models
    loaded[:] = [model for model in loaded if model.model is not None]  # as the host does before it loads one
    return subject.paint()


def same(some: Sequence[Result], others: Sequence[Result]) -> bool:
    """Bit by bit."""
    return len(some) == len(others) and all(
        torch.equal(one, other) if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) else one == other
        for one, other in zip(some, others, strict=True)
    )


def close(some: Sequence[Result], others: Sequence[Result]) -> bool:
    """But for rounding: batches of other sizes add in another order."""
    return same(some, others) or all(
        isinstance(one, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and torch.allclose(one, other, rtol=1e-3, atol=1e-3)
        for one, other in zip(some, others, strict=True)
    )


def _counted(subject: Subject, site: str) -> int:
    with calls_of(site) as count:
        paint(subject)
    return count[0]


def _can_be_smaller(frame: FrameType | None) -> bool:
    """Whether the call belongs to a batch of windows that the pack can halve."""
    while frame is not None:
        if frame.f_code.co_name == "attempt" and frame.f_code.co_filename.endswith("memory.py"):
            return frame.f_locals["size"] > 1
        frame = frame.f_back
    return False

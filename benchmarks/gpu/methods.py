"""What each method costs.

Import only after `host.start_host`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.nodes.host.windows.run import Run

from ..speed.contenders import LITERAL_MSD, MOVING, PLAIN
from .bench import Bench
from .parts import Case, Part, Rows

METHODS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    MOVING: {"moving": True},
    "MSD, projected": {"multiscale": MultiScaleParams()},
    "MSD, projected, moving windows": {"multiscale": MultiScaleParams(), "moving": True},
    "Sync, direct": {"sync": SyncParams()},
}
GRADIENTS: dict[str, dict[str, Any]] = {
    "MSD, gradient": {"multiscale": LITERAL_MSD},
    "Sync, gradient": {"sync": SyncParams(guidance="gradient")},
}


def _cases(bench: Bench) -> Iterator[Case]:
    for family in ("sd15",) if bench.tiny else ("sd15", "sdxl"):
        plain: list[float] = []
        for name, method in METHODS.items():
            label = f"{family}, {name}"
            yield Case(label, partial(_step, bench, family, label, method, nullcontext(), plain))
        for name, method in [*GRADIENTS.items()][: 1 if bench.tiny else None]:
            for wanted in (True, False):
                label = f"{family}, {name}, {'with' if wanted else 'without'} checkpoints"
                yield Case(label, partial(_step, bench, family, label, method, _checkpoints(wanted), plain))


def _step(
    bench: Bench,
    family: str,
    label: str,
    method: dict[str, Any],
    inside: AbstractContextManager[Any],
    plain: list[float],
) -> Rows:
    """One row; `plain` has the seconds of the first one, MultiDiffusion."""
    contenders = bench.contenders(family, bench.halves[0], bench.block)
    with inside:
        numbers = bench.measured(contenders, {label: contenders.ours(**method)})[label]
    if not method:
        plain.append(numbers["seconds"])
    if plain:
        numbers["times MultiDiffusion"] = numbers["seconds"] / plain[0]
    return {label: numbers}


def _checkpoints(wanted: bool) -> AbstractContextManager[Any]:
    """A run decides by free memory; inside, it is told."""
    return patch.object(Run, "needs_checkpoints", lambda *_: wanted)


PART = Part(
    "One step of each method on 2 x 4 native windows with overlaps of a half. Gradients with checkpoints compute the "
    "blocks of the model twice; free memory chooses between the two, here both are forced.",
    _cases,
)

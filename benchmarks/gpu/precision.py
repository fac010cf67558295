"""How far half precision is from float32, with windows and without.

Import only after `host.start_host`.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from ..speed.contenders import PLAIN
from .bench import Bench
from .parts import Case, Part, Rows

ONE = "one native window without the pack"


def _cases(bench: Bench) -> Iterator[Case]:
    precise: dict[str, Tensor] = {}
    for precision in ("fp32", *bench.halves):
        yield Case(precision, partial(_compared, bench, precision, precise))


def _compared(bench: Bench, precision: str, precise: dict[str, Tensor]) -> Rows:
    """A row for each of two canvases; none for float32, which is kept in `precise`."""
    one = bench.contenders("sd15", precision, (1, 1))
    runs = {ONE: one.sampled(one.subject.patcher), PLAIN: one._replace(canvas=bench.strip).ours()}
    sampled = {name: run(bench.steps, lambda: None).float().cpu() for name, run in runs.items()}
    if precision == "fp32":
        precise.update(sampled)
        return {}
    return {f"{precision}, {name}": _apart(sampled[name], precise[name]) for name in runs}


def _apart(sampled: Tensor, expected: Tensor) -> dict[str, float]:
    apart = (sampled - expected).abs() / expected.abs().max()
    finite = torch.isfinite(sampled).float().mean()
    return {"largest": apart.max().item(), "mean": apart.mean().item(), "finite": finite.item()}


PART = Part(
    "SD 1.5 with the same random weights in half precision and in float32: how far apart the latents are after the "
    "steps, as a part of the largest value, on one native window and on 1 x 4 of them. With windows it must not be "
    "more than without.",
    _cases,
)

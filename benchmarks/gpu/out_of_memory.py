"""What happens when memory really runs out in the middle of a step.

Import only after `host.start_host`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import torch
from comfy.patcher_extension import WrappersMP
from joint_diffusion.nodes.host.windows.patch import with_settings
from torch import Tensor

from ..speed.measuring import peak_memory
from . import device
from .bench import Bench
from .parts import Case, Part, Rows

LEFT = 1.6  # times what one window needs


def _cases(bench: Bench) -> Iterator[Case]:
    yield Case("filled in the first call", partial(_filled, bench))


def _filled(bench: Bench) -> Rows:
    contenders = bench.contenders("sd15", bench.halves[0], bench.strip)
    enough = contenders.ours()(2, lambda: None)
    one = peak_memory(lambda: contenders._replace(batch=1).ours()(1, lambda: None)) if device.CUDA else 0
    rows, failed = list[int](), list[int]()

    with ExitStack() as stack:

        def fill_first(executor, x, *args, **kwargs):
            rows.append(len(x))
            try:
                if len(rows) == 1:  # the size of the batch is chosen by now
                    stack.enter_context(device.filled(int(LEFT * one * device.MIB)))
                return executor(x, *args, **kwargs)
            except torch.OutOfMemoryError:
                failed.append(len(x))
                raise

        model = with_settings(contenders.subject.patcher, windows=contenders.windows)
        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "fill", fill_first)
        sampled = contenders.sampled(model)(2, lambda: None)
    told = {
        "left, MiB": LEFT * one,
        "rows of the first call": rows[0],
        "times that memory ran out": len(failed),
        "rows of the last call": rows[-1],
        "calls": len(rows),
    }
    return {
        "filled in the first call": {**told, "apart": _apart(sampled, enough)},
        "the next run": {"apart": _apart(contenders.ours()(2, lambda: None), enough)},
    }


def _apart(sampled: Tensor, expected: Tensor) -> float:
    return ((sampled - expected).abs().max() / expected.abs().max()).item()


PART = Part(
    "Two steps of SD 1.5 on 1 x 4 native windows. In the first call of the model the GPU is filled until 1.6 times as "
    "much is free as one window needs: batches must become smaller, and the picture stays the same but for rounding. "
    "Apart: the largest difference from a run with enough memory, as a part of the largest value. On a CPU the error "
    "is raised, and nothing is filled.",
    _cases,
)

"""A model that is compiled as ComfyUI's node TorchCompileModel does it.

Import only after `host.start_host`.
"""

import statistics
import time
from collections.abc import Iterator
from functools import partial

import torch
import torch._dynamo.utils
from comfy_api.torch_helpers import set_torch_compile_wrapper
from joint_diffusion.nodes.host.windows.patch import with_settings

from ..speed.contenders import PLAIN
from ..speed.measuring import Clock
from . import device
from .bench import Bench
from .parts import Case, Part, Rows


def _cases(bench: Bench) -> Iterator[Case]:
    yield Case(PLAIN, partial(_compiled, bench))


def _compiled(bench: Bench) -> Rows:
    torch._dynamo.reset()
    # The tiny one of the two families that compiles sooner.
    contenders = bench.contenders("flux" if bench.tiny else "sd15", bench.halves[0], bench.strip)
    plain = contenders.ours()
    model = with_settings(contenders.subject.patcher, windows=contenders.windows)
    # The node's own filter: what is passed from step to step must not make it compile anew.
    options = {"guard_filter_fn": lambda guards: ["transformer_options" not in guard.name for guard in guards]}
    set_torch_compile_wrapper(model, "inductor" if device.CUDA else "eager", options)
    compiled, rows = contenders.sampled(model), {}
    for name, run in {"not compiled": plain, "compiled, first run": compiled, "compiled": compiled}.items():
        clock, start, before = Clock(), time.perf_counter(), _graphs()
        run(bench.steps, clock)  # not counted: the hook that counts calls would make it compile anew
        seconds = {"run, seconds": time.perf_counter() - start, "step, seconds": statistics.median(clock.steps)}
        rows[name] = seconds | {"graphs compiled": _graphs() - before}
    torch._dynamo.reset()
    return rows


def _graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


PART = Part(
    "MultiDiffusion with SD 1.5 on 1 x 4 native windows, compiled as by ComfyUI's TorchCompileModel (by inductor; on a "
    "CPU eager): a run that compiles in its first step, and the same run again, which must not compile.",
    _cases,
)

"""Kernels, copies and waits of one step.

Import only after `host.start_host`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch.profiler import ProfilerActivity, profile

from ..speed.contenders import BARE
from ..speed.measuring import Run
from . import device
from .bench import Bench
from .methods import METHODS
from .parts import Case, Part, Rows

# Calls in which the host waits for the GPU, as CUDA and HIP name them.
WAITS = ("StreamSynchronize", "DeviceSynchronize", "EventSynchronize")


def _cases(bench: Bench) -> Iterator[Case]:
    yield Case(BARE, partial(_counted, bench, BARE, lambda contenders: contenders.bare))
    for name, method in [*METHODS.items()][: 1 if bench.tiny else None]:
        yield Case(name, partial(_counted, bench, name, lambda contenders, method=method: contenders.ours(**method)))


def _counted(bench: Bench, name: str, way: Callable[..., Run]) -> Rows:
    watched = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.CUDA else [])])
    with ExitStack() as stack:

        def begin() -> None:
            device.synchronize()  # the step before is not counted
            stack.enter_context(watched)

        ends = iter((begin, stack.close, lambda: None))
        way(bench.contenders("sd15", bench.halves[0], bench.block))(3, lambda: next(ends)())
    return {name: _counts(list(watched.events() or []))}


def _counts(events: list[Any]) -> dict[str, float]:
    operations = sum(event.name.startswith("aten::") for event in events)
    if not device.CUDA:
        return {"operations": operations}
    on_device = [event.name for event in events if event.device_type.name == "CUDA"]
    return {
        "operations": operations,
        "kernels": sum(not name.startswith(("Memcpy", "Memset")) for name in on_device),
        "copies to the device": sum("HtoD" in name for name in on_device),
        "copies to main memory": sum("DtoH" in name for name in on_device),
        "waits": sum(event.name.endswith(WAITS) for event in events) - 1,  # the last one is the profiler's own
    }


PART = Part(
    "The second of three steps of SD 1.5 on 2 x 4 native windows, by torch's profiler: operations of torch, kernels of "
    "the GPU, copies between main memory and the GPU, and calls in which the host waits for the GPU. The sampler is in "
    "it too. On a CPU there are operations only.",
    _cases,
)

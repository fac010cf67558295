"""The setting of TwinDiffusion's Table A1, beside its seconds.

Import only after `host.start_host`.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.nodes.host.windows.patch import with_settings

from . import device
from .bench import Bench
from .models import vae
from .parts import Case, Part, Rows

STEPS = 50
PUBLISHED = {"MultiDiffusion": 43.92, "TwinDiffusion": 44.17}  # seconds on an A100
METHODS: dict[str, dict[str, Any]] = {
    "MultiDiffusion": {},
    "TwinDiffusion": {"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()},
}


def _cases(bench: Bench) -> Iterator[Case]:
    for name, method in METHODS.items():
        yield Case(name, partial(_painted, bench, name, method))


def _painted(bench: Bench, name: str, method: dict[str, Any]) -> Rows:
    contenders = bench.contenders("sd15", bench.halves[0], bench.strip)
    stride = contenders.window // (2 if bench.tiny else 4)
    windows = replace(contenders.windows, stride=Size(stride, stride))
    run = contenders.sampled(with_settings(contenders.subject.patcher, windows=windows, **method))
    coder, steps = vae(bench.tiny), 2 if bench.tiny else STEPS

    def paint(steps: int) -> None:
        with torch.inference_mode():
            coder.decode(run(steps, lambda: None))
        device.synchronize()

    paint(1)  # weights are loaded and kernels chosen
    start = time.perf_counter()
    paint(steps)
    told = {"windows": len(windows.plan(contenders.size)), "steps": steps}
    return {
        name: {**told, "seconds": time.perf_counter() - start},
        f"{name}, published: SD 2.0, A100": {"windows": 13, "steps": STEPS, "seconds": PUBLISHED[name]},
    }


PART = Part(
    "512 x 2048 pixels in 50 steps of SD 1.5 and decoded, beside Table A1 of TwinDiffusion. The published numbers are "
    "those of another card (A100), of another implementation, and of SD 2.0, whose U-Net is about as large.",
    _cases,
)

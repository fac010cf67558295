"""What the parts have in common: the models, how large canvases are, and how a step is timed.

Import only after `host.start_host`.
"""

from collections.abc import Mapping

import torch

from ..speed.contenders import Contenders
from ..speed.measuring import Run, peak_memory, take_turns
from ..speed.models import Subject
from . import device
from .models import FAMILIES

BATCH = 8  # most windows in one call
PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
SIZES = ((512, 2048), (1024, 4096), (2048, 8192))  # of canvases, in pixels
TINY_SIZES = ((64, 128),)


def in_pixels(size: tuple[int, int]) -> str:
    """A size for a reader."""
    return f"{size[0]} x {size[1]}"


class Bench:
    """One model at a time, and how its runs are measured.

    Args:
        tiny: what a CPU does in seconds.
        steps: of a run, at least 2; the first one is not measured.
    """

    def __init__(self, tiny: bool, steps: int):
        self.tiny, self.steps = tiny, steps
        self.families = tuple(FAMILIES)
        # A CPU computes with bfloat16 itself.
        self.halves = ("bf16",) if tiny else ("fp16", "bf16")
        self.sizes = TINY_SIZES if tiny else SIZES
        self.strip, self.block = ((1, 2), (2, 2)) if tiny else ((1, 4), (2, 4))  # canvases in windows
        self._made: dict[tuple[str, str], Subject] = {}

    def contenders(self, family: str, precision: str, canvas: tuple[int, int]) -> Contenders:
        """The ways to sample a canvas of so many native windows. The model takes the place of the one before."""
        if (family, precision) not in self._made:
            self.forget()
            self._made[family, precision] = FAMILIES[family](PRECISIONS[precision], self.tiny)
        subject = self._made[family, precision]
        return Contenders(subject, canvas, subject.window, BATCH)

    def forget(self) -> None:
        """Free the memory of the model."""
        self._made.clear()
        device.give_back()

    def measured(self, contenders: Contenders, runs: Mapping[str, Run], turns: int = 1) -> dict[str, dict[str, float]]:
        """Of a step of each run: seconds, views, calls of the model, and on a GPU peak memory above the model's."""
        network = contenders.subject.patcher.model.diffusion_model
        found: dict[str, dict[str, float]] = {}
        for name, run in take_turns(runs, network, self.steps, turns).items():
            # A row for each prompt.
            found[name] = {"seconds": run.seconds, "views": run.rows / 2, "model calls": run.calls}
            if device.CUDA:
                found[name]["peak memory, MiB"] = peak_memory(lambda run=runs[name]: run(1, lambda: None))
        return found

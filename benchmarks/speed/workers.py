"""What it costs to have a window predicted by a worker: bytes, and seconds beside those of the model.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.workers

A real worker of Ray, on this machine, answers batches of one window at once: it unpacks what it is sent and sends back
as much as a model would, cond and uncond, without a model. So the time is that of packing, the way there and back and
unpacking. Views, predictions and conditioning have the sizes of those of each model at its native window. On another
machine the bytes also take their time on the network. If the model needs longer for a window than all this, a worker
that is as fast as this machine makes a step shorter. The bundled model's own cost stands beside.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.workers.by_ray import Crew, RayWorker
from core.workers.parcel import Stowage, Unpacker, light

from ..table import RESULTS, Table

COLUMNS = (
    "conditioning once, KiB",
    "sent per window, KiB",
    "received per window, KiB",
    "seconds per window",
    "and by 1 Gbit/s",
    "the model's own",
)
NETWORK = 125e6  # bytes a second
KIB = 1024
READY = "an echo"


class Sizes(NamedTuple):
    """Of one model."""

    view: tuple[int, ...]  # without batch
    conditioning: tuple[tuple[int, ...], ...]  # tensors for each prompt
    half: bool


MODELS = {
    "demo": Sizes((8, 16, 16), ((12, 128),), False),
    "SD 1.5": Sizes((4, 64, 64), ((77, 768),), True),
    "SDXL": Sizes((4, 128, 128), ((77, 2048), (2816,)), True),
    "Flux": Sizes((16, 128, 128), ((512, 4096), (768,)), True),
    "Wan, 81 frames": Sizes((16, 21, 60, 104), ((512, 4096),), True),
}


def boot(root: str, _on_gpu: bool) -> Any:
    """What the worker does first."""
    import sys

    sys.path.insert(0, root)
    from benchmarks.speed.workers import Echo

    return Echo()


class Echo:
    """In the worker: a model that says at once that all is as it was."""

    def build(self) -> None:
        self._unpacker = Unpacker()

    def predict(self, parcel: bytes) -> bytes:
        lasting, view = self._unpacker.unpack(parcel)
        predictions = [view.float(), view.float()]
        return Stowage().pack("", None, [light(one) if lasting["half"] else one for one in predictions])


def started() -> RayWorker:
    """A worker of a cluster on this machine."""
    crew = Crew("", partial(boot, str(Path(__file__).resolve().parents[2])))
    crew.prepare(1, READY, lambda _: None, "build")
    while not crew.ready(READY):
        if not crew.busy():
            sys.exit("The worker does not start; its log is in /tmp/ray/session_latest/logs.")
        time.sleep(0.1)
    return crew.workers[0]


def there_and_back(
    worker: RayWorker, stowage: Stowage, lasting: dict[str, Any], view: Tensor
) -> tuple[int, int, float]:
    """Bytes sent and received, and seconds, of one window."""
    begun = time.perf_counter()
    parcel = stowage.pack(worker, lasting, light(view) if lasting["half"] else view)
    answer = worker.answer(worker.ask("predict", parcel))
    Unpacker().unpack(answer)
    return len(parcel), len(answer), time.perf_counter() - begun


def own_cost(rounds: int) -> float:
    """Seconds that the bundled model needs for one window here."""
    from demo.pipeline import LandscapePipeline

    pipeline = LandscapePipeline("cpu")
    context, view = pipeline.encode(["summer day"]), torch.randn(1, *MODELS["demo"].view)
    seconds = []
    with torch.no_grad():
        for _ in range(rounds):
            begun = time.perf_counter()
            pipeline.denoise(view, 1.0, context, 2.0)
            seconds.append(time.perf_counter() - begun)
    return median(seconds)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="windows of each model; the median counts")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    worker = started()
    note = f"One window a batch, cond and uncond, median of {args.rounds}; one worker on the same machine."
    table = Table("workers", "model", COLUMNS, note=note)
    for name, sizes in MODELS.items():
        dtype = torch.float16 if sizes.half else torch.float32
        prompts = [[torch.randn(1, *shape).to(dtype) for shape in sizes.conditioning] for _ in range(2)]
        stowage, lasting = Stowage(), {"conds": prompts, "half": sizes.half}
        first, *rest = (
            there_and_back(worker, stowage, lasting, torch.randn(1, *sizes.view)) for _ in range(args.rounds + 1)
        )
        sent, received, seconds = (median(column) for column in zip(*rest, strict=True))
        measured = {
            "conditioning once, KiB": (first[0] - sent) / KIB,
            "sent per window, KiB": sent / KIB,
            "received per window, KiB": received / KIB,
            "seconds per window": seconds,
            "and by 1 Gbit/s": seconds + (sent + received) / NETWORK,
        }
        if name == "demo":
            measured["the model's own"] = own_cost(args.rounds)
        table.row(name, measured)
    worker.crew.end()
    table.save(args.results)


if __name__ == "__main__":
    main()

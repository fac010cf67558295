"""The bundled model in processes of their own, by Ray: `python -m demo panorama --workers 2`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.workers.by_ray import Crew
from core.workers.parcel import Stowage, Unpacker
from core.workers.pool import Pool, at_work

from .pipeline import LandscapePipeline

MODEL = "the bundled model"
PERIOD = 0.1  # seconds from one look at whether a worker is ready to the next


def boot(root: str, on_gpu: bool) -> Any:
    """What a worker's process does first: find this folder, which must be at the same place on its machine."""
    import sys

    sys.path.insert(0, root)
    from demo.workers import Served

    return Served("cuda" if on_gpu else "cpu")


class Served:
    """The model in a worker."""

    def __init__(self, device: str):
        """Load it."""
        self._pipeline, self._unpacker = LandscapePipeline(device), Unpacker(device)

    def build(self) -> None:
        """Nothing is left to do."""

    @torch.no_grad()
    def denoise(self, parcel: bytes) -> bytes:
        """The prediction for views, with the conditioning that the parcel has or names."""
        (context, cfg), (views, sigma) = self._unpacker.unpack(parcel)
        return Stowage().pack("", None, self._pipeline.denoise(views, sigma, context, cfg))


class Workers:
    """They share the windows of panoramas with this process."""

    def __init__(self, crew: Crew, count: int):
        """Start `count` of them, and wait for the first."""
        self._crew, self._stowage = crew, Stowage()
        self.views: list[tuple[str, int]] = []  # who has denoised how many, in the order of their answers
        crew.prepare(count, MODEL, lambda _: None, "build")
        while not crew.ready(MODEL) and crew.busy():
            time.sleep(PERIOD)
        self.pool = Pool(lambda: crew.ready(MODEL))

    def denoise(self, views: Tensor, sigma: float, context: Tensor, cfg: float) -> Tensor:
        """As `LandscapePipeline.denoise`, by the worker of this thread."""
        worker = at_work()
        with worker.lock:
            asked = worker.ask("denoise", self._stowage.pack(worker, (context, cfg), (views, sigma)))
        denoised = Unpacker(views.device).unpack(worker.answer(asked))[1]
        self.views.append((worker.name, len(views)))
        return denoised


@contextmanager
def workers_for(count: int, address: str = "") -> Iterator[Workers | None]:
    """So many workers on a Ray cluster, ended afterwards; None for 0. An empty address is this machine alone.

    Raises:
        ValueError: there are no workers to be had; says why.
    """
    if count < 0:
        raise ValueError(f"--workers: must be 0 or more, got {count}.")
    if count == 0:
        if address:
            raise ValueError(f"--address: belongs to --workers, got {address!r} and no workers; set --workers as well.")
        yield None
        return
    try:
        crew = Crew(address, partial(boot, str(Path(__file__).resolve().parents[1])))
    except (ImportError, ConnectionError) as error:
        raise ValueError(f"--workers: {error}") from error
    try:
        yield Workers(crew, count)
    finally:
        crew.end()

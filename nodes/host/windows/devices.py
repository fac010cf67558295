"""Batches of windows on several GPUs: ComfyUI's own clones of the model, on its own threads (MultiGPU CFG Split).

ComfyUI spreads the prompts of one call over its devices. Here each batch of windows goes to one device, with all its
prompts: so every device has something to do, also without a negative prompt, and computes what a single one would.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from itertools import cycle
from threading import Event
from typing import Any, TypeVar

import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..conds import Conds
from .conditioning import scheduled

S = TypeVar("S")
T = TypeVar("T")

CLONES = "multigpu_clones"  # in model options: by device, the main one first
THREADS = "multigpu_thread_pool"  # one for each device
AT_ONCE = 2  # batches that a device is given: one in work, and one so that it need not wait for the next

_here: ContextVar[ModelPatcher | None] = ContextVar("here", default=None)  # the clone that works on this thread


class Devices:
    """Those of one run."""

    def __init__(self, options: dict[str, Any]):
        """Find them in the model options that a run begins with."""
        self._pool = options.get(THREADS)
        self.patchers: list[ModelPatcher] = list(options[CLONES].values()) if self._pool and CLONES in options else []
        self.several = len(self.patchers) > 1

    def each(self, work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """`work` of each item, in their order. It is called on the thread of the device whose turn it is."""
        asked = _Asked(self._pool)
        try:
            for item, patcher in zip(items, cycle(self.patchers), strict=False):
                asked.ask(work, item, patcher)
                if len(asked) == AT_ONCE * len(self.patchers):
                    yield asked.answer()
            while len(asked):
                yield asked.answer()
        finally:
            asked.forget()

    def here(self, model: BaseModel, options: dict[str, Any]) -> tuple[BaseModel, dict[str, Any]]:
        """Model and model options to call the host with on this thread, in place of these of the run.

        With them ComfyUI asks the device of the thread alone, and sends everything there and back. It must not use the
        pool, which would wait for this very thread.
        """
        patcher = _here.get()
        if patcher is None:
            return model, options
        alone = {CLONES: {patcher.load_device: patcher}, THREADS: None, "ignore_multigpu": True}
        return patcher.model, {**options, **alone}


class _Asked:
    """Work that the threads of the devices have been given, in the order in which it is answered."""

    def __init__(self, pool: Any):
        self._pool = pool
        self._waiting: deque[torch.device] = deque()
        self._failed = Event()  # or nobody wants to know any more: what has not begun is not done
        self._inference = torch.is_inference_mode_enabled()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, work: Callable[[Any], Any], item: Any, patcher: ModelPatcher) -> None:
        context = copy_context()  # ComfyUI knows by it which node is at work
        self._pool.submit(patcher.load_device, context.run, self._call, work, item, patcher)
        self._waiting.append(patcher.load_device)

    def answer(self) -> Any:
        answer, error = self._pool.get_result(self._waiting.popleft())
        while error is None and self._failed.is_set():  # the error is that of another, which is waiting too
            answer, error = self._pool.get_result(self._waiting.popleft())
        if error is not None:
            raise error
        return answer

    def forget(self) -> None:
        """Wait for the work that has begun, and take its answers: they would be those of the next question."""
        self._failed.set()
        while self._waiting:
            self._pool.get_result(self._waiting.popleft())

    def _call(self, work: Callable[[Any], Any], item: Any, patcher: ModelPatcher) -> Any:
        if self._failed.is_set():
            return None
        _here.set(patcher)
        try:
            with torch.inference_mode(self._inference):  # each thread has a mode of its own
                return work(item)
        except BaseException:
            self._failed.set()
            raise


def shared_batch(windows: int, most: int, sharers: int, rounds: int = 1) -> int:
    """A size of batches, at most `most`: all sharers have as much to do, as nearly as whole batches can be.

    Each has at least so many `rounds`.
    """
    rounds = max(-(-windows // (most * sharers)), rounds)
    return -(-windows // (rounds * sharers))


def on_one_device(options: dict[str, Any]) -> dict[str, Any]:
    """Model options with which ComfyUI asks the main device alone."""
    return {key: value for key, value in options.items() if key != CLONES}


def prepare_hooks(model: BaseModel, conds: Conds, timestep: Tensor, options: dict[str, Any]) -> None:
    """Bring hooks whose strength changes over the steps to this step, in all clones.

    ComfyUI does so when a prompt with hooks is run, and tells all clones of a change only once. On their own threads
    some would have begun before.
    """
    for entries in conds:
        hooked = [entry for entry in entries or () if entry.get("hooks") is not None]
        for entry in scheduled(hooked, float(timestep[0])) if hooked else ():
            model.current_patcher.prepare_hook_patches_current_keyframe(timestep, entry["hooks"], options)

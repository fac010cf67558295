"""Batches for several workers at once: whoever is free takes the next, and what a lost one had is done by another.

A pool calls a function for each batch, on a thread of the worker whose turn it is. The function asks `at_work` which
worker that is, and sends it what is to be computed. The process itself works too: there the function is called on the
thread that wants the answers, and `at_work` is None. So nothing is lost with a worker but its batch, and a run in
which no worker is left goes on alone.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from threading import Condition, Thread
from time import monotonic, perf_counter
from typing import Any, Generic, TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")
Worker = Hashable

AT_ONCE = 2  # batches that a worker is given: one in work, and one on its way
AHEAD = 4  # batches for each that may be done before those in front of them: their answers wait in memory
LEAST = 1e-6  # seconds that a batch counts as, on a clock that has not moved meanwhile
TICK = 0.2  # seconds after which one who waits looks whether workers have come, and whether to go on at all
PATIENCE = 5.0  # seconds that workers have to end what they do, once nobody wants it any more

_at_work: ContextVar[Any] = ContextVar("at_work", default=None)


class Lost(Exception):
    """A worker has gone or cannot do what it was asked. Another is asked the same, and this one nothing more."""


def at_work() -> Any:
    """The worker that is to do what this thread does; None: it is done here."""
    return _at_work.get()


class Pool:
    """Those who share the batches of a run: this process, and the workers that there are at the time."""

    def __init__(self, workers: Callable[[], Iterable[Worker]], on_wait: Callable[[], object] = lambda: None):
        """Start with none known.

        Args:
            workers: gives those that are ready. It is asked again and again: workers may come and go.
            on_wait: called while there is nothing to do but wait. It may raise, to end the waiting.
        """
        self.workers, self.on_wait = workers, on_wait
        self.seconds: dict[Worker | None, float] = {}  # of the last batch of each; None is this process

    def each(self, work: Callable[[S], T], items: Collection[S]) -> Iterator[T]:
        """`work` of each item, in their order.

        Raises:
            Whatever `work` raises, but for `Lost`. Work that has begun is waited for, but not much longer than
            `PATIENCE`: a worker may hang, and whoever has interrupted a run would wait for ever.
        """
        turn = _Round(self, work, list(items))
        try:
            yield from turn.answers()
        finally:
            turn.close()


class _Round(Generic[S, T]):
    """One call of `Pool.each`."""

    def __init__(self, pool: Pool, work: Callable[[S], T], items: list[S]):
        self._pool, self._work, self._items = pool, work, items
        self._waiting = list(range(len(items)))  # a heap: those in front first
        self._left = len(items)  # not done yet, whoever has them
        self._begun: Counter[Worker | None] = Counter()  # how many each has in work
        self._wanted = 0
        self._done: dict[int, T] = {}
        self._error: BaseException | None = None
        self._closed = False
        self._changed = Condition()
        self._threads: dict[Worker, list[Thread]] = {}
        self._lost: set[Worker] = set()
        # Each thread has modes of its own.
        self._inference, self._gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def answers(self) -> Iterator[T]:
        for index in range(len(self._items)):
            with self._changed:
                self._wanted = index
                self._changed.notify_all()  # who was too far ahead may go on
            yield self._answer(index)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = monotonic() + PATIENCE
        for threads in self._threads.values():
            for thread in threads:
                thread.join(max(end - monotonic(), 0.0))

    def _answer(self, index: int) -> T:
        while True:
            self._enlist()
            with self._changed:
                if self._error is not None:
                    raise self._error
                if index in self._done:
                    return self._done.pop(index)
                own = self._next(None)
                if own is None:
                    self._changed.wait(TICK)
            if own is None:
                self._pool.on_wait()
            else:
                self._do(None, own)

    def _enlist(self) -> None:
        for worker in self._pool.workers():
            if worker not in self._threads and worker not in self._lost:
                self._threads[worker] = [
                    Thread(target=copy_context().run, args=(self._serve, worker), daemon=True) for _ in range(AT_ONCE)
                ]
                for thread in self._threads[worker]:
                    thread.start()

    def _serve(self, worker: Worker) -> None:
        _at_work.set(worker)
        with torch.inference_mode(self._inference), torch.set_grad_enabled(self._gradients):
            while (index := self._take(worker)) is not None:
                try:
                    self._do(worker, index)
                except Lost:
                    with self._changed:
                        heapq.heappush(self._waiting, index)
                        self._lost.add(worker)
                        self._pool.seconds.pop(worker, None)
                        self._changed.notify_all()
                except BaseException as error:
                    with self._changed:
                        self._error = self._error or error
                        self._changed.notify_all()

    def _take(self, worker: Worker) -> int | None:
        with self._changed:
            while not (self._closed or self._error or worker in self._lost or not self._left):
                if (index := self._next(worker)) is not None:
                    return index
                self._changed.wait()
        return None

    def _do(self, worker: Worker | None, index: int) -> None:
        begun = perf_counter()
        try:
            answer = self._work(self._items[index])
        finally:
            with self._changed:
                self._begun[worker] -= 1
        with self._changed:
            if worker not in self._lost:  # it had several
                self._pool.seconds[worker] = max(perf_counter() - begun, LEAST)
            self._done[index] = answer
            self._left -= 1
            self._changed.notify_all()

    def _next(self, worker: Worker | None) -> int | None:
        """The next item for this worker, if it is to take one."""
        others = [one for one in (None, *self._threads) if one != worker and one not in self._lost]
        if (
            not self._waiting
            or self._is_far_ahead(len(others) + 1)
            or self._is_for_who_is_idle(worker, others)
            or self._is_sooner_done_by(others, worker)
        ):
            return None
        self._begun[worker] += 1
        return heapq.heappop(self._waiting)

    def _is_far_ahead(self, several: int) -> bool:
        """Whether so many answers wait in memory that the next one must not be computed yet."""
        return self._waiting[0] - self._wanted >= AHEAD * several

    def _is_for_who_is_idle(self, worker: Worker | None, others: list[Worker | None]) -> bool:
        """Whether this would be a second item for the worker, and others, who have none, can begin all that wait."""
        return self._begun[worker] > 0 and len(self._waiting) <= sum(not self._begun[one] for one in others)

    def _is_sooner_done_by(self, others: list[Worker | None], worker: Worker | None) -> bool:
        """Whether the others would have done all that waits before this worker has done one item."""
        known = [self._pool.seconds[one] for one in others if one in self._pool.seconds]
        if worker not in self._pool.seconds or not known:
            return False
        all_by_others = len(self._waiting) / sum(1 / seconds for seconds in known) + min(known)
        return self._pool.seconds[worker] > all_by_others

"""Workers by Ray: processes on this machine or on others, each with a model of its own.

Ray is imported when workers are asked for, and not before: nobody else needs it.
"""

import inspect
import logging
import socket
import sys
from collections.abc import Callable, Hashable
from functools import partial
from threading import Lock, Thread
from typing import Any

from .pool import Lost

INSTALL = "pip install ray"
LOCAL = "local"  # Ray's own name for a new cluster on this machine alone
REACH = 5.0  # seconds in which the head of a cluster must answer
TRIES = 3  # to start one: Ray gives its own processes only some seconds, and the first time they are slow

log = logging.getLogger(__name__)

_connected: dict[str, str] = {}  # the address of the cluster that this process is in, if it was connected here


def ray_or_advice() -> Any:
    """The package.

    Raises:
        ImportError: it is not installed; says how it is.
    """
    try:
        import ray
    except ImportError as missing:
        raise ImportError(
            f"workers: need the package ray, which is not installed here. Install it with `{INSTALL}` in the Python "
            f"that runs this ({sys.executable}), the same version on all machines, or take the workers away."
        ) from missing
    return ray


class RayWorker:
    """One process. Ask it on any thread; it does one thing after the other, in the order in which it is asked."""

    def __init__(self, crew: "Crew", name: str, actor: Any):
        """`actor` is its handle in Ray."""
        self.crew, self.name, self._actor = crew, name, actor
        self.lock = Lock()  # for who must not be overtaken between packing and asking
        self.ready_for: Hashable = None  # what it has been prepared for
        self.preparing: Hashable = None  # what it is being prepared for
        self.answered: Any = None  # what it said then

    def ask(self, what: str, *arguments: Any) -> Any:
        """Begin to do something: a handle for `answer`."""
        return self._actor.do.remote(what, *arguments)

    def answer(self, handle: Any) -> Any:
        """What it has answered, waited for.

        Raises:
            Lost: it has gone, or it could not do it; says why.
        """
        ray = ray_or_advice()
        try:
            return ray.get(handle)
        except ray.exceptions.RayTaskError as error:
            self.ready_for = None
            reason = str(error.cause or error).strip()
            log.warning("%s could not do it, and is asked nothing more: %s", self.name, reason)
            raise Lost(f"{self.name}: {reason}") from error
        except ray.exceptions.RayError as error:
            self.crew.lose(self)
            raise Lost(f"{self.name} has gone: {error}") from error
        except SystemExit as error:  # so Ray says that the cluster itself has ended
            self.ready_for = None
            raise Lost(f"{self.name} has gone with its cluster") from error

    def end(self) -> None:
        """Stop the process, whatever it does."""
        ray_or_advice().kill(self._actor)


class Crew:
    """The workers of one cluster that are asked the same. They may come late, and go."""

    def __init__(self, address: str, boot: Callable[[bool], Any]):
        """Connect to the cluster.

        Args:
            address: that of the cluster's head, as `ray start --head` prints it; empty starts one on this machine.
            boot: run in each new process; gives an object whose methods are what a worker can be asked. It is told
                whether there is a GPU for it. Of its own module it may use nothing outside of itself.

        Raises:
            ImportError: as `ray_or_advice`.
            ConnectionError: there is no cluster at the address.
        """
        ray = ray_or_advice()
        self.address, self.workers = address, list[RayWorker]()
        self._boot = boot
        self._preparation: tuple[Hashable, Callable[[Any], str | None], str, tuple[Any, ...]] | None = None
        self._changing = Lock()
        self._begun = 0
        for function in (_Actor, boot.func if isinstance(boot, partial) else boot):
            if (module := inspect.getmodule(function)) is not None:
                ray.cloudpickle.register_pickle_by_value(module)
        _connect(ray, address)
        # A worker takes a whole GPU where there are any, else a core; on this machine alone as many as are wanted.
        self._on_gpu = bool(address) and ray.cluster_resources().get("GPU", 0) >= 1
        needs = {"num_gpus": int(self._on_gpu), "num_cpus": int(bool(address) and not self._on_gpu)}
        self._actors = ray.remote(max_restarts=0, max_task_retries=0, **needs)(_Actor)

    def ready(self, key: Hashable) -> list[RayWorker]:
        """Those that can be asked now, and were prepared for this."""
        return [worker for worker in self.workers if worker.ready_for == key]

    def busy(self) -> bool:
        """Whether any is still getting ready."""
        return any(worker.preparing is not None for worker in self.workers)

    def prepare(
        self, count: int, key: Hashable, accept: Callable[[Any], str | None], what: str, *arguments: Any
    ) -> None:
        """Ask `count` workers to get ready for `key`, in the background; new ones are started, too many are ended.

        Those for which the cluster has no room begin when it has: when a machine joins it. Each is ready when it has
        answered `what`, and `accept` has not said what is wrong with the answer.
        """
        self._preparation = key, accept, what, arguments
        with self._changing:
            for worker in self.workers[count:]:
                worker.end()
            del self.workers[count:]
            while len(self.workers) < count:
                self.workers.append(self._new())
            due = [worker for worker in self.workers if key not in (worker.ready_for, worker.preparing)]
        for worker in due:
            self._begin(worker)

    def lose(self, worker: RayWorker) -> None:
        """It has gone. If it was ever ready, another is started in its place."""
        with self._changing:
            if worker not in self.workers:
                return
            self.workers.remove(worker)
            log.warning("%s has gone; what it was doing is done by another.", worker.name)
            if worker.answered is None:
                return
            self.workers.append(successor := self._new())
        self._begin(successor)

    def end(self) -> None:
        """Stop all of them."""
        with self._changing:
            for worker in self.workers:
                worker.end()
            self.workers.clear()

    def _new(self) -> RayWorker:
        self._begun += 1
        return RayWorker(self, f"worker {self._begun}", self._actors.remote(self._boot, self._on_gpu))

    def _begin(self, worker: RayWorker) -> None:
        assert self._preparation is not None
        key, accept, what, arguments = self._preparation
        worker.ready_for, worker.preparing = None, key
        handle = worker.ask(what, *arguments)

        def prepare() -> None:
            try:
                worker.answered = worker.answer(handle)
                if reason := accept(worker.answered):
                    log.warning("%s cannot be used: %s", worker.name, reason)
                elif worker.preparing == key:  # and nothing else meanwhile
                    worker.ready_for = key
                    log.info("%s is ready.", worker.name)
            except Lost:
                pass  # it is said there
            except Exception as error:
                log.warning("%s cannot be used: %s", worker.name, error)
            finally:
                if worker.preparing == key:
                    worker.preparing = None

        Thread(target=prepare, daemon=True).start()


class _Actor:
    """A worker's process, as Ray runs it. It knows nothing of this package: that is not there yet."""

    def __init__(self, boot: Callable[[bool], Any], on_gpu: bool):
        self._boot, self._on_gpu, self._does = boot, on_gpu, None

    def do(self, what: str, *arguments: Any) -> Any:
        """What one of the methods answers."""
        if self._does is None:  # here, not above: of what fails here Ray says why
            self._does = self._boot(self._on_gpu)
        return getattr(self._does, what)(*arguments)


def _connect(ray: Any, address: str) -> None:
    if ray.is_initialized():
        if _connected.get("address", address) == address:  # or by who has imported this
            return
        ray.shutdown()
    where = {"address": address} if address else {"address": LOCAL, "num_gpus": 0, "include_dashboard": False}
    try:
        if address:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), REACH).close()  # Ray itself would try for minutes
        for left in range(1 if address else TRIES, 0, -1):
            try:
                ray.init(**where, configure_logging=False, log_to_driver=False)
                break
            except Exception:
                ray.shutdown()
                if left == 1:
                    raise
    except Exception as error:  # Ray raises plain ones
        what = f"no Ray cluster answers at {address!r}" if address else "Ray could not be started on this machine"
        raise ConnectionError(
            f"address: {what} ({error}). Start one with `ray start --head` and give the address that it prints; if "
            "it asks for a token, set RAY_AUTH_MODE=token here. Or leave the address empty for workers on this machine."
        ) from error
    _connected["address"] = address

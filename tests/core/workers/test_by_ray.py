import time
from threading import Lock

from joint_diffusion.core.workers.by_ray import Crew, RayWorker


class Answering(RayWorker):
    """A worker that is ready at once, without Ray."""

    def ask(self, what, *arguments):
        return what

    def answer(self, handle):
        return handle


def test_a_worker_whose_answer_cannot_be_judged_is_not_busy_for_ever():
    def accept(_answer):
        judged.append(1)
        if len(judged) == 1:
            raise RuntimeError("no")

    crew, judged = Crew.__new__(Crew), []
    crew.workers, crew._changing = [], Lock()
    crew.workers.append(Answering(crew, "worker 1", None))
    for ready in ([], crew.workers):
        crew.prepare(1, "key", accept, "build")
        end = time.monotonic() + 10
        while crew.busy() and time.monotonic() < end:
            time.sleep(0.01)
        assert crew.ready("key") == ready
        assert not crew.busy()

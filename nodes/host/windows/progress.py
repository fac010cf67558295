"""How far a run is, on its node: the bar, and the time left in words. Both move with each batch of windows."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import comfy.utils
from comfy_execution.utils import get_executing_context

# Seconds from one text to the next. A run that is shorter says nothing.
BETWEEN_TEXTS = 1.0


class Progress:
    """A step of a large canvas takes minutes, so the bar does not wait for its end.

    A step is taken to need as many views as the one before: some samplers ask twice, and guidance ends. The first one
    is taken to need `views`.
    """

    def __init__(self, steps: int, views: int):
        self._bar, self._steps = comfy.utils.ProgressBar(steps), steps
        self._done, self._expected, self._seen = 0, views, 0
        self._begun = self._said = time.monotonic()
        self._moving = Lock()  # several devices may be done at once

    def counting(self, callback: Callable[..., Any] | None) -> Callable[..., Any]:
        """The sampler's callback, which is called after each step, and which moves the bar to the end of that step."""

        def after_step(step: int, *rest: Any) -> Any:
            self._done, self._expected, self._seen = step + 1, max(self._seen, 1), 0
            self._say()
            return callback(step, *rest) if callback else None

        return after_step

    def add(self, views: int) -> None:
        """So many views more are denoised."""
        with self._moving:
            self._seen += views
            if self._seen < self._expected:  # the end of a step is said by the sampler, with its preview
                self._bar.update_absolute(self._done + self._seen / self._expected)
                self._say()

    def _say(self) -> None:
        now, is_last = time.monotonic(), self._done == self._steps
        has_spoken = self._said > self._begun
        if now - self._said >= BETWEEN_TEXTS or (is_last and has_spoken):
            show(in_words(self._done + self._seen / self._expected, self._steps, now - self._begun))
            self._said = now


def in_words(done: float, steps: int, seconds: float) -> str:
    """What is known after `seconds`, when `done` of the steps are done; more than 0 of them.

    All steps are taken to need the same time. The first includes what a device does once, so at first too much is said.
    """
    if done >= steps:
        return f"{steps} steps in {_clock(seconds)}"
    return f"step {int(done) + 1} of {steps}, {_clock(seconds / done * (steps - done))} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def show(text: str) -> None:
    """Put a text into the node that runs, in the front end of the one who has queued it."""
    context = get_executing_context()
    if context is None:  # sampled by a program, not by the server
        return
    from server import PromptServer  # only there where the server runs

    server = PromptServer.instance
    server.send_progress_text(text, context.node_id, server.client_id)

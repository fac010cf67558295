"""How long a run still takes, in words on its node."""

from comfy_execution.utils import get_executing_context


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

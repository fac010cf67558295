"""Many clients at one server: prompts that are good, cancelled and bad, all at once."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from .graphs import node, shown

if TYPE_CHECKING:
    from comfy_server import Run, Server

SEEDS = range(4)
LONG = 5000  # steps that nobody waits for


class Clients:
    """Clients of one server, who know what each picture must be."""

    def __init__(self, server: "Server"):
        self.server = server
        self.pictures = {seed: self._picture(seed) for seed in SEEDS}

    def queue(self, prompts: int, clients: int, seed: int) -> list[str]:
        """What went wrong; queues so many prompts, one after the other at each client."""
        lot = random.Random(seed)
        deeds: list[Callable[[int], str]] = [self._good] * 5 + [
            self._cancelled_while_it_runs,
            self._taken_off_the_queue,
            self._refused,
            self._failing,
        ]
        chosen = [lot.choice(deeds) for _ in range(prompts)]
        with ThreadPoolExecutor(clients) as pool:
            said = list(pool.map(lambda deed, number: self._tried(deed, number), chosen, range(prompts)))
        queue = self.server.get_json("/queue")
        if queue["queue_running"] or queue["queue_pending"]:
            said.append("the queue is not empty at the end")
        said.append(self._good(0))
        return [text for text in said if text]

    def _tried(self, deed: Callable[[int], str], number: int) -> str:
        try:
            text = deed(number)
        except Exception as error:
            text = repr(error)
        return text and f"prompt {number}, {deed.__name__.strip('_').replace('_', ' ')}: {text}"

    def _picture(self, seed: int) -> np.ndarray:
        return self.server.images(self.server.run(shown(seed)), "save")

    def _good(self, number: int) -> str:
        seed = SEEDS[number % len(SEEDS)]
        return "" if np.array_equal(self._picture(seed), self.pictures[seed]) else "another picture than alone"

    def _cancelled_while_it_runs(self, number: int) -> str:
        def at_the_first_step(run: "Run", event: dict) -> None:
            if event["type"] == "progress" and event["data"].get("prompt_id") == run.prompt_id:
                self.server.interrupt(run)

        run = self.server.run(shown(1000 + number, LONG), on_event=at_the_first_step)
        return "" if run.interrupted else "was not interrupted"

    def _taken_off_the_queue(self, number: int) -> str:
        prompt_id = self.server.post("/prompt", {"prompt": shown(2000 + number)})["prompt_id"]
        self.server.post("/queue", {"delete": [prompt_id]})
        while prompt_id in str(self.server.get_json("/queue")):  # it had begun already, and may end
            time.sleep(0.1)
        history = self.server.get_json(f"/history/{prompt_id}")
        status = history[prompt_id]["status"]["status_str"] if history else "success"
        return "" if status == "success" else f"ended with {status}"

    def _refused(self, number: int) -> str:
        graph = shown(number)
        graph["windows"]["inputs"]["overlap"] = 7.0
        return self._answer(graph, "bigger than max of 0.95")

    def _failing(self, number: int) -> str:
        graph = shown(3000 + number)
        graph["latent"] = node("PanoramaLatent", width=252, height=128, batch_size=1, model=["demo", 0])
        return self._answer(graph, "width: must be a multiple of 8 pixels")

    def _answer(self, graph: dict, wanted: str) -> str:
        from comfy_server import PromptFailed

        try:
            self.server.run(graph)
        except PromptFailed as error:
            return "" if wanted in str(error) else f"answered {error}"
        return "was not refused"

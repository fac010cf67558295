"""The workers that this process has, and what they have for one MODEL of a graph."""

import json
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import comfy.model_management
from comfy.model_patcher import ModelPatcher

from ....core.workers.by_ray import Crew
from ....core.workers.pool import Pool
from .boot import boot
from .likeness import Likeness, difference, likeness
from .subgraph import Link, upstream

_crews: dict[str, Crew] = {}  # by address; they stay as long as this process, and with them their models


@dataclass(frozen=True, kw_only=True, eq=False)
class Workers:
    """That build a model by these nodes."""

    address: str  # of the cluster; empty is this machine
    count: int
    prompt: dict[str, Any]  # nodes in API format
    link: Link  # to the output of them that is the model
    model: ModelPatcher  # what this output is in this process

    @cached_property
    def key(self) -> str:
        """What they have built when they are ready.

        Not the nodes alone: the same nodes make another model here when a file has changed.
        """
        return json.dumps([self.prompt, self.link, str(self.model.patches_uuid)], sort_keys=True, default=str)

    @cached_property
    def pool(self) -> Pool:
        """This process and those of them that are ready, at any time."""
        may_go_on = comfy.model_management.throw_exception_if_processing_interrupted
        return Pool(lambda: self.crew.ready(self.key), on_wait=may_go_on)

    @property
    def crew(self) -> Crew:
        """All workers of the cluster."""
        return crew_at(self.address)

    @cached_property
    def _likeness(self) -> Likeness:
        return likeness(self.model)

    def prepare(self) -> None:
        """Have them build the model, in the background, as far as they have not."""
        # Not `self`, which has the model: the crew outlives the graph. And now, not later on a thread of its own, when
        # the host may be changing the weights.
        mine = self._likeness

        def accept(theirs: Likeness) -> str | None:
            return difference(mine, Likeness(*theirs))

        self.crew.prepare(self.count, self.key, accept, "build", self.key, self.prompt, self.link)


def crew_at(address: str) -> Crew:
    """The workers on this cluster, the same at every call; empty is one on this machine.

    Raises:
        ImportError, ConnectionError: see `Crew`.
    """
    if address not in _crews:
        for other in _crews.values():  # a process is in one cluster at a time
            other.end()
        _crews.clear()
        folder = Path(comfy.model_management.__file__).resolve().parents[1]
        _crews[address] = Crew(address, partial(boot, str(folder), sys.argv[1:]))
    return _crews[address]


def workers_of(model: ModelPatcher, address: str, count: int, nodes: Any, node_id: str) -> Workers:
    """The workers for a model that a node of this id gets; they begin to build it.

    `nodes` is the host's DynamicPrompt.

    Raises:
        ImportError, ConnectionError: see `Crew`.
    """
    prompt, link = upstream(nodes, node_id)
    workers = Workers(address=address, count=count, prompt=prompt, link=link, model=model)
    workers.prepare()
    return workers

"""What the workers of this process keep of a graph, without Ray."""

import gc
import weakref
from threading import Lock

import tiny_models
from joint_diffusion.core.workers.by_ray import Crew
from joint_diffusion.nodes.host.workers.crew import Workers, _crews


def test_the_crew_does_not_keep_the_model_of_a_graph_that_is_gone(monkeypatch):
    crew = Crew.__new__(Crew)
    crew.workers, crew._changing = [], Lock()
    monkeypatch.setitem(_crews, "", crew)
    patcher = tiny_models.sd15()
    model = weakref.ref(patcher.model)
    Workers(address="", count=0, prompt={}, link=["1", 0], model=patcher).prepare()
    del patcher
    gc.collect()
    assert model() is None

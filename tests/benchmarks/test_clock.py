import time

import torch
from joint_diffusion.benchmarks.clock import now


def idle():
    start = now()
    time.sleep(0.3)
    return now() - start


def test_on_a_cpu_idle_time_does_not_count(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert 0 <= idle() < 0.2


def test_on_a_gpu_it_counts_and_the_gpu_is_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    assert idle() >= 0.3
    assert len(waits) == 2

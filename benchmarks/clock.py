"""The clock for what a model computes: that of this process on a CPU, that of the wall on a GPU."""

import time

import torch


def now() -> float:
    """Seconds since some moment. Only differences mean anything.

    On a CPU only the time of this process counts, because other programs run at the same time. A GPU works beside the
    process, so it is waited for.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()

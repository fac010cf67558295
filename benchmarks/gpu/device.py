"""The device that is measured: its name, its memory, and how to fill it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..speed.measuring import DEVICE
from ..table import describe_device

CUDA = DEVICE == "cuda"
MIB = 2**20


def name() -> str:
    """Of the device, for a file: `nvidia-h200`, or `cpu`."""
    called = torch.cuda.get_device_name() if CUDA else "cpu"
    return "-".join("".join(letter if letter.isalnum() else " " for letter in called.lower()).split())


def describe() -> str:
    """The device, its memory and its versions, for a reader."""
    if not CUDA:
        return describe_device(DEVICE)
    memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**30
    driver = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    return f"{describe_device(DEVICE)}, {driver}; {memory:.0f} GiB"


def synchronize() -> None:
    """Wait for all that the device was asked to do."""
    if CUDA:
        torch.cuda.synchronize()


def free_memory() -> int:
    """Bytes that nobody has; 0 on a CPU, where it is not asked for."""
    return torch.cuda.mem_get_info()[0] if CUDA else 0


def give_back() -> None:
    """Free what nobody holds any more."""
    gc.collect()
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


@contextmanager
def filled(leaving: int) -> Iterator[None]:
    """Inside, the GPU has `leaving` bytes of free memory, and really no more.

    Raises:
        torch.OutOfMemoryError: on a CPU, whose memory belongs to all programs: only what would happen next.
    """
    if not CUDA:
        raise torch.OutOfMemoryError("The memory of a CPU is not filled.")
    give_back()
    taken = torch.empty(max(0, free_memory() - leaving), dtype=torch.uint8, device=DEVICE)
    try:
        yield
    finally:
        del taken
        give_back()

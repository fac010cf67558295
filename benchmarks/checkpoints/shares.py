"""The share of one process in work that torchrun has started several processes for, on one machine or on many.

All that they have in common is the folder of the pictures. Without torchrun there is one process, and one share.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed

Item = TypeVar("Item")


class Share(NamedTuple):
    """Process `rank` of `count`."""

    rank: int
    count: int

    @classmethod
    def of_this_process(cls) -> "Share":
        """As torchrun says in the environment."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th item; the shares of all processes are all items, each once."""
        return items[self.rank :: self.count]

    @property
    def title(self) -> str:
        """For the progress bar."""
        return f"{self.rank + 1} of {self.count}: " if self.count > 1 else ""


def claim_device() -> torch.device:
    """Make the GPU of this process the one that torch and ComfyUI use.

    Raises:
        ValueError: there are more processes on this machine than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if rank >= count:
        raise ValueError(f"nproc-per-node: must be at most the number of GPUs, {count}, got {rank + 1} or more.")
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)


def wait_for_all(share: Share) -> None:
    """Return when every process has come here."""
    if share.count > 1:
        # The default of half an hour is less than what one slow machine may be late.
        torch.distributed.init_process_group("gloo", timeout=timedelta(days=7))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

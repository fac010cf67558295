"""A disk that is full midway, by a limit of the system."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file of this process can become larger than `room` bytes: the system itself refuses, whoever writes.

    Raises:
        OSError: on Windows, which has no such limit.
    """
    if sys.platform == "win32":
        raise OSError("a limit of the size of files is what Windows does not have")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

"""Files that get their name when they are whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what shall be `path`: under the same name, in a folder beside it that is there for so long only.

    At the end it is moved, and what was written beside it too (the tiles of a Deep Zoom, for example). If anything
    fails or is interrupted, nothing is left.

    Raises:
        OSError: it could not be written: the disk is full, or the folder is not ours.
    """
    try:
        with TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as folder:
            yield Path(folder, path.name)
            # The file itself last: it is what people open.
            for part in sorted(Path(folder).iterdir(), key=lambda part: part.name == path.name):
                part.rename(path.parent / part.name)
    except OSError as error:
        raise OSError(
            f"filename_prefix: {path} must be a file that can be written, but it cannot ({error}). Nothing is left of "
            "it; make room on the disk, or choose a folder that can be written to."
        ) from error

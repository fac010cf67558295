"""How often one step goes from one file of the pack to another, and through how many files: what a reader follows."""

import sys
from collections import Counter
from pathlib import Path

from host import ROOT

FOLDERS = tuple(str(ROOT / folder) for folder in ("core", "nodes"))


class Moves:
    """Calls and returns from one file of the pack to another while it is active; ways through the host count too."""

    def __init__(self):
        self.between: Counter[tuple[str, str]] = Counter()

    def __enter__(self):
        self._before = sys.getprofile()
        sys.setprofile(self._heard)
        return self

    def __exit__(self, *_):
        sys.setprofile(self._before)

    def _heard(self, frame, event, _argument):
        here = _file(frame)
        if here is None or event not in ("call", "return"):
            return
        caller = frame.f_back
        while caller is not None and _file(caller) is None:
            caller = caller.f_back
        there = here if caller is None else _file(caller)
        if there != here:
            self.between[(there, here) if event == "call" else (here, there)] += 1

    @property
    def count(self) -> int:
        """All moves."""
        return sum(self.between.values())

    @property
    def files(self) -> set[str]:
        """Where the step has been."""
        return {file for pair in self.between for file in pair}


def _file(frame) -> str | None:
    """The file of the pack that the frame runs in."""
    name = frame.f_code.co_filename
    return str(Path(name).relative_to(ROOT)) if name.startswith(FOLDERS) else None

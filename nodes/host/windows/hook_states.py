"""CFG hooks that remember something from call to call, such as APG's running average, on canvases of several sizes.

A hook belongs to one canvas: what it remembers of one call it combines with the next. Multi-Scale Diffusion asks about
smaller canvases in between. So every shape has a memory of its own, and is given it back when its turn comes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import CellType
from typing import Any

from torch import Size as Shape

ONE = ("sampler_cfg_function",)
LISTS = ("sampler_pre_cfg_function", "sampler_post_cfg_function")
EMPTY = object()  # in place of what a variable holds that has no value yet


class HookStates:
    """What the hooks of one run remember, by the shape of what they are shown. Hooks are functions with closures."""

    def __init__(self, options: dict[str, Any]):
        """Remember how they begin; `options` are the model options that the run begins with."""
        hooks = [options[key] for key in ONE if key in options]
        hooks += [hook for key in LISTS for hook in options.get(key, [])]
        cells = {id(cell): cell for hook in hooks for cell in getattr(hook, "__closure__", None) or ()}
        self._cells = list(cells.values())
        self._beginning = self._contents()
        self._of: dict[Shape, list[Any]] = {}

    @contextmanager
    def of(self, shape: Shape) -> Iterator[None]:
        """Inside, the hooks remember what they have seen of this shape; afterwards what they remembered before."""
        before = self._contents()
        self._set(self._of.get(shape, self._beginning))
        try:
            yield
            self._of[shape] = self._contents()
        finally:
            self._set(before)

    def _contents(self) -> list[Any]:
        return [_content(cell) for cell in self._cells]

    def _set(self, contents: list[Any]) -> None:
        for cell, content in zip(self._cells, contents, strict=True):
            if content is EMPTY:
                del cell.cell_contents
            else:
                cell.cell_contents = content


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY

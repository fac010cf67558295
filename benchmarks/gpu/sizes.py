"""A step on larger and larger canvases.

Import only after `host.start_host`.
"""

from collections.abc import Iterator
from functools import partial

from ..speed.contenders import PLAIN
from .bench import Bench, in_pixels
from .parts import Case, Part, Rows


def _cases(bench: Bench) -> Iterator[Case]:
    for family in ("sd15", "sdxl"):
        for size in bench.sizes:
            yield Case(f"{family}, {in_pixels(size)}", partial(_step, bench, family, size))


def _step(bench: Bench, family: str, size: tuple[int, int]) -> Rows:
    contenders = bench.contenders(family, bench.halves[0], (1, 1))
    side = 8 * contenders.window
    if min(size) < side:
        return {}  # no canvas for windows
    contenders = contenders._replace(canvas=(size[0] // side, size[1] // side))
    numbers = bench.measured(contenders, {PLAIN: contenders.ours()})[PLAIN]
    per_window = {"windows": contenders.count, "seconds per window": numbers["seconds"] / contenders.count}
    return {f"{family}, {in_pixels(size)}": numbers | per_window}


PART = Part(
    "One step of MultiDiffusion on larger and larger canvases, in pixels, through native windows: SDXL's are of 1024 "
    "pixels, so it has no canvas of 512. Memory must stay where it is.",
    _cases,
)

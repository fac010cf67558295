"""Windows that move: no overlap, and at every noise level all windows somewhere else, so that no border stays.

Frolov, Moser and Dengel, "SpotDiffusion: A Fast Approach For Seamless Panorama Generation Over Time", WACV 2025. The
model looks at every cell about once, where MultiDiffusion with half overlap looks four times. The paper rolls the
canvas around both edges; here an edge that does not wrap is covered by windows that end at it, so that sky and ground
never become neighbours.
"""

import operator
import random
from functools import lru_cache

from ..canvas.windows import NO_OFFSET, NO_WRAP, Size, Window, Wrap, plan_windows
from ..step import noise_level_key


def offset_at(window: Size, grid: int, seed: int, sigma: float) -> Size:
    """How far the windows are moved at this noise level: a multiple of `grid` below the window, drawn by lot.

    The same for the same seed and noise level, so a run that was cut in two has the windows of the whole run.
    """
    lot = random.Random(f"{seed} {noise_level_key(sigma)}")
    return Size(*(lot.randrange(0, side, grid) for side in window))


@lru_cache(maxsize=64)  # asked several times in every step
def side_by_side(
    canvas: Size, window: Size, wrap: Wrap = NO_WRAP, grid: int = 1, offset: Size = NO_OFFSET
) -> tuple[Window, ...]:
    """Windows side by side that cover the canvas, row by row, moved by `offset`.

    Without wrap, the outermost windows are pushed back inside of the canvas and overlap their neighbours there.
    Arguments and errors as in `plan_windows`.
    """
    loops = (
        plan_windows(canvas, window, window, wrap, grid, Size(*map(operator.mul, offset, wrap))) if any(wrap) else ()
    )
    tops, lefts = (
        sorted({place[axis] for place in loops}) if wrap[axis] else _places(canvas[axis], window[axis], offset[axis])
        for axis in (0, 1)
    )
    height, width = min(window.height, canvas.height), min(window.width, canvas.width)
    return tuple(Window(top, left, height, width) for top in tops for left in lefts)


def _places(canvas: int, window: int, offset: int) -> list[int]:
    if canvas <= window:
        return [0]
    first = offset - window if offset else 0
    return sorted({min(max(place, 0), canvas - window) for place in range(first, canvas, window)})

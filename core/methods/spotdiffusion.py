"""SpotDiffusion: windows without overlap that move at every noise level, so that no border stays in one place.

Frolov, Moser and Dengel, "SpotDiffusion: A Fast Approach For Seamless Panorama Generation Over Time", WACV 2025. The
model denoises every cell about once per step. MultiDiffusion with half overlap denoises it four times. The paper rolls
the canvas around all edges. Here only wrapping edges are crossed: at the others the windows end, so that sky and ground
never become neighbours.
"""

import operator
import random
from functools import lru_cache

from ..canvas.windows import NO_OFFSET, NO_WRAP, Size, Window, Wrap, plan_windows
from ..step import noise_level_key


def random_offset(window: Size, grid: int, seed: int, sigma: float) -> Size:
    """A random offset of the windows for a noise level: multiples of `grid`, at least 0 and below the window.

    It depends on seed and noise level only, so a run that was cut in two has the windows of the whole run.
    """
    generator = random.Random(f"{seed} {noise_level_key(sigma)}")
    return Size(*(generator.randrange(0, side, grid) for side in window))


@lru_cache(maxsize=64)  # called several times in every step
def side_by_side(
    canvas: Size, window: Size, wrap: Wrap = NO_WRAP, grid: int = 1, offset: Size = NO_OFFSET
) -> tuple[Window, ...]:
    """Windows side by side that cover the canvas, row by row, moved by `offset`.

    Without wrap, the outermost windows are moved back onto the canvas and overlap their neighbours. Arguments and
    errors as in `plan_windows`.
    """
    loops = (
        plan_windows(canvas, window, window, wrap, grid, Size(*map(operator.mul, offset, wrap))) if any(wrap) else ()
    )
    tops, lefts = (
        sorted({place[axis] for place in loops}) if wrap[axis] else _positions(canvas[axis], window[axis], offset[axis])
        for axis in (0, 1)
    )
    height, width = min(window.height, canvas.height), min(window.width, canvas.width)
    return tuple(Window(top, left, height, width) for top in tops for left in lefts)


def _positions(canvas: int, window: int, offset: int) -> list[int]:
    """Where the windows start along an axis that does not wrap."""
    if canvas <= window:
        return [0]
    return sorted({min(max(position, 0), canvas - window) for position in range(offset - window, canvas, window)})

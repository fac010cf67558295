"""The inputs of nodes that take a picture through the VAE in windows."""

from dataclasses import replace

from ..core.canvas.decode import DecodeParams, largest_window, least_window
from ..core.canvas.windows import Size, Wrap
from .pixels import cells
from .shared_inputs import ADVANCED, pixels_input, wrap_inputs


def window_inputs(done: str, node: str) -> list:
    """wrap_x, wrap_y, window, context and blend; `done` is what happens to a window, `node` the host's node for it."""
    return [
        *wrap_inputs(optional=True),
        pixels_input(
            "window",
            f"Size in pixels of what is {done} at once. 0: as much as fits in memory. If that is all of it, the "
            f"result is exactly that of {node}.",
            most=16384,
            optional=True,
        ),
        pixels_input(
            "context",
            "Pixels around each window that the VAE sees as well, and that are then thrown away.",
            default=64,
            most=2048,
            **ADVANCED,
        ),
        pixels_input(
            "blend", "Pixels over which neighbouring windows fade into each other.", default=64, most=2048, **ADVANCED
        ),
    ]


def window_params(
    canvas: Size, pixels_per_cell: int, fits, *, wrap_x=False, wrap_y=False, window=0, context=64, blend=64
) -> DecodeParams:
    """The windows that those inputs ask for on a canvas; `fits` tells of a `Size` in cells whether memory holds it.

    Raises:
        ValueError: a window too small for context and blend, or pixels that are no whole cells.
    """
    side = cells("window", window, pixels_per_cell)
    params = DecodeParams(
        window=Size(side, side) if window else canvas,
        context=cells("context", context, pixels_per_cell),
        blend=cells("blend", blend, pixels_per_cell),
        wrap=Wrap(y=wrap_y, x=wrap_x),
    )
    if window == 0:
        return replace(params, window=largest_window(canvas, params, fits))
    if window < (least := pixels_per_cell * max(least_window(canvas, params))):
        raise ValueError(
            f"window: must be at least {least} pixels here (all of the canvas, or twice context {context}, plus "
            f"blend {blend}, and something to draw), got {window}; make window larger, or context or blend less."
        )
    return params

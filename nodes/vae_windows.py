"""The inputs of nodes that take a picture through the VAE in windows."""

from comfy_api.latest import io

from ..core.canvas.decode import DecodeParams, largest_window, least_window
from ..core.canvas.windows import Size, Wrap
from .pixels import cells


def window_inputs(done: str, node: str) -> list:
    """wrap_x, wrap_y, window, context and blend; `done` is what happens to a window, `node` the host's node for it."""
    return [
        io.Boolean.Input(
            "wrap_x", default=False, optional=True, tooltip="The left and the right edge meet (a 360 degree panorama)."
        ),
        io.Boolean.Input("wrap_y", default=False, optional=True, tooltip="The top and the bottom edge meet."),
        io.Int.Input(
            "window",
            default=0,
            min=0,
            max=16384,
            step=8,
            optional=True,
            tooltip=f"Size in pixels of what is {done} at once. 0: as much as memory holds. If that is everything, the "
            f"result is exactly that of {node}.",
        ),
        io.Int.Input(
            "context",
            default=64,
            min=0,
            max=2048,
            step=8,
            optional=True,
            advanced=True,
            tooltip="Pixels around each window that the VAE sees too, but that are thrown away.",
        ),
        io.Int.Input(
            "blend",
            default=64,
            min=0,
            max=2048,
            step=8,
            optional=True,
            advanced=True,
            tooltip="Pixels over which neighbouring windows fade into each other.",
        ),
    ]


def window_params(
    canvas: Size, pixels_per_cell: int, fits, *, wrap_x: bool, wrap_y: bool, window: int, context: int, blend: int
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
        return DecodeParams(
            window=largest_window(canvas, params, fits), context=params.context, blend=params.blend, wrap=params.wrap
        )
    if window < (least := pixels_per_cell * max(least_window(canvas, params))):
        raise ValueError(
            f"window: must be at least {least} pixels here (all of the canvas, or twice context {context}, plus "
            f"blend {blend}, and something to draw), got {window}; make window larger, or context or blend less."
        )
    return params

"""Encoding a large picture in windows: bounded memory, and no seam where the windows meet."""

from collections.abc import Callable

import torch
from torch import Tensor

from .decode import DecodeParams, decode_plan, with_context
from .fusion import Fusion, shared_weights
from .windows import Size, Window, canvas_size

Encoder = Callable[[Tensor], Tensor]
"""Pixels (B, channels, H, W) to a latent (B, C, ..., h, w)."""


def encode_in_windows(pixels: Tensor, encode: Encoder, pixels_per_cell: int, params: DecodeParams) -> Tensor:
    """Encode `pixels` (B, channels, H, W) window by window to a latent (B, C, ..., h, w).

    The windows are those of `decode_in_windows`, in latent cells. Where a single window holds everything, the result is
    that of one call, bit for bit.

    Raises:
        ValueError: a side of the picture that is no multiple of `pixels_per_cell`, or as `decode_plan`.
    """
    height, width = canvas_size(pixels)
    if height % pixels_per_cell or width % pixels_per_cell:
        raise ValueError(
            f"image: both sides must be multiples of {pixels_per_cell} pixels, a latent cell, got {width} x {height}."
        )
    canvas = Size(height // pixels_per_cell, width // pixels_per_cell)
    windows = decode_plan(canvas, params)
    first = _encode_part(pixels, encode, pixels_per_cell, windows[0], canvas, params)
    if len(windows) == 1:
        return first
    latent = first.new_empty(1).expand(*first.shape[:-2], *canvas)
    fusion = Fusion(latent, shared_weights("feathered", windows, latent))
    fusion.add([first], windows[:1])
    for window in windows[1:]:
        fusion.add([_encode_part(pixels, encode, pixels_per_cell, window, canvas, params)], [window])
    return fusion.result()[0]


def _encode_part(
    pixels: Tensor, encode: Encoder, pixels_per_cell: int, window: Window, canvas: Size, params: DecodeParams
) -> Tensor:
    """The latent of `window`, encoded with its context."""
    top, bottom = with_context(window.top, window.height, canvas.height, params.context, params.wrap.y)
    left, right = with_context(window.left, window.width, canvas.width, params.context, params.wrap.x)
    # The canvas as it is may also be what a window in the middle of wrapping edges sees.
    if (top, left, bottom, right) != (0, 0, *canvas):
        rows, columns = (
            torch.arange(start * pixels_per_cell, end * pixels_per_cell, device=pixels.device) % side
            for start, end, side in ((top, bottom, pixels.shape[-2]), (left, right, pixels.shape[-1]))
        )
        pixels = pixels[..., rows[:, None], columns]
    latent = encode(pixels)
    down, along = window.top - top, window.left - left
    return latent[..., down : down + window.height, along : along + window.width]

"""Decoding a large canvas in windows: with bounded memory, and without seams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import methodcaller

import torch
from torch import Tensor

from .bands import fuse_in_bands
from .windows import NO_WRAP, Size, Window, Wrap, canvas_size, crop, plan_windows

Decoder = Callable[[Tensor], Tensor]
"""Latent (B, C, ..., h, w) to pixels (..., channels, H, W), with a constant number of pixels per cell."""


@dataclass(frozen=True, kw_only=True)
class DecodeParams:
    """How a canvas is decoded, in latent cells.

    Attributes:
        window: size of one call of the decoder, context included.
        context: cells at each inner edge of a window whose pixels are not used. If the receptive field of the decoder
            is not larger, the result equals that of a single call.
        blend: cells over which neighbouring windows fade into each other, which hides the remaining difference.
        wrap: edges that are joined; they are inner edges.
    """

    window: Size
    context: int = 8
    blend: int = 8
    wrap: Wrap = NO_WRAP

    def __post_init__(self) -> None:
        for name, cells in (("context", self.context), ("blend", self.blend)):
            if cells < 0:
                raise ValueError(f"{name}: must be 0 or more latent cells, got {cells}.")

    def whole(self, canvas: Size) -> Size:
        """The window that decodes the canvas at once: its size and the context of wrapping edges."""
        return Size(*(side + 2 * self.context * wraps for side, wraps in zip(canvas, self.wrap, strict=True)))


def decode_plan(canvas: Size, params: DecodeParams) -> tuple[Window, ...]:
    """The windows of the canvas that are decoded one by one, without their context.

    Raises:
        ValueError: a window smaller than `least_window`.
    """
    for axis, cells, least in zip(("height", "width"), params.window, least_window(canvas, params), strict=True):
        if cells < least:
            raise ValueError(
                f"{axis}: a decode window smaller than the canvas must be larger than twice the context "
                f"({params.context}) plus the blend ({params.blend}), here at least {least} latent cells, got {cells}."
            )
    without_context = (window - 2 * params.context for window in params.window)
    sides = zip(canvas, params.whole(canvas), params.window, without_context, strict=True)
    parts = [(side, side) if whole <= window else (part, part - params.blend) for side, whole, window, part in sides]
    (height, row_stride), (width, column_stride) = parts
    return plan_windows(canvas, Size(height, width), Size(row_stride, column_stride), params.wrap)


def least_window(canvas: Size, params: DecodeParams) -> Size:
    """Smallest window: along each axis one cell more than context and blend, or the whole canvas if that is less."""
    return Size(*(min(side, 2 * params.context + params.blend + 1) for side in params.whole(canvas)))


def decode_in_windows(latent: Tensor, decode: Decoder, params: DecodeParams) -> Tensor:
    """Decode `latent` (B, C, ..., H, W) window by window to pixels (..., channels, s H, s W), s pixels per cell.

    `decode` is called once for each window of `decode_plan`. With a single window the result is that of the call, bit
    for bit. Errors as in `decode_plan`.
    """
    canvas = canvas_size(latent)
    pixels, done = torch.empty(0), 0
    for band in decode_in_bands(latent, decode, params):
        if done == 0:
            height = canvas.height * (band.shape[-1] // canvas.width)
            if band.shape[-2] == height:
                return band
            pixels = band.new_empty((*band.shape[:-2], height, band.shape[-1]))
        pixels[..., done : done + band.shape[-2], :] = band
        done += band.shape[-2]
        del band  # before the next one is made
    return pixels


def decode_in_bands(latent: Tensor, decode: Decoder, params: DecodeParams) -> Iterator[Tensor]:
    """The pixels of `decode_in_windows` from top to bottom: bands (..., channels, rows, s W), as soon as they are done.

    Memory holds one row of windows, or two if the canvas wraps in y, and what the caller keeps. Errors as in
    `decode_plan`.
    """
    canvas = canvas_size(latent)
    windows = decode_plan(canvas, params)
    first, pixels_per_cell = _decode_part(latent, decode, windows[0], params)
    if len(windows) == 1:
        yield first
        return
    in_pixels = {window.scaled(pixels_per_cell): window for window in windows}
    dtype, decoded = first.dtype, {windows[0]: first}
    del first

    def view(drawn: Window) -> Tensor:
        window = in_pixels[drawn]
        return decoded.pop(window) if window in decoded else _decode_part(latent, decode, window, params)[0]

    # Not a loop, whose variable would keep a band until the next one.
    yield from map(methodcaller("to", dtype), fuse_in_bands(canvas.scaled(pixels_per_cell), [*in_pixels], view))


def _decode_part(latent: Tensor, decode: Decoder, window: Window, params: DecodeParams) -> tuple[Tensor, int]:
    """The pixels of `window`, decoded with its context, and the number of pixels per cell."""
    canvas = canvas_size(latent)
    top, bottom = with_context(window.top, window.height, canvas.height, params.context, params.wrap.y)
    left, right = with_context(window.left, window.width, canvas.width, params.context, params.wrap.x)
    rows = torch.arange(top, bottom, device=latent.device) % canvas.height
    columns = torch.arange(left, right, device=latent.device) % canvas.width
    pixels = decode(latent[..., rows[:, None], columns])
    pixels_per_cell = pixels.shape[-1] // (right - left)
    drawn = Window(window.top - top, window.left - left, window.height, window.width).scaled(pixels_per_cell)
    return crop(pixels, drawn), pixels_per_cell


def with_context(start: int, length: int, canvas: int, context: int, wrap: bool) -> tuple[int, int]:
    """Along one axis, first and last cell of a window with its context; beyond the canvas where it wraps."""
    if wrap:
        return start - context, start + length + context
    return max(start - context, 0), min(start + length + context, canvas)


def largest_window(canvas: Size, params: DecodeParams, fits: Callable[[Size], bool], least: int = 64) -> Size:
    """The largest window that `fits`: the canvas with the context of wrapping edges, its longer side halved repeatedly.

    No side becomes smaller than `least` cells or than context and blend need, even if that does not fit.
    """
    least = max(least, 2 * params.context + params.blend + 1)
    window = params.whole(canvas)
    while not fits(window) and max(window) > least:
        longer = max(-(-max(window) // 2), least)
        window = Size(window.height, longer) if window.width >= window.height else Size(longer, window.width)
    return window

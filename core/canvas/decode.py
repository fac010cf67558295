"""Decoding a large canvas in windows: bounded memory, and no seam where the windows meet."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .fusion import Fusion, fusion_precision, normalised, shared_weights
from .windows import NO_WRAP, Size, Window, Wrap, canvas_size, plan_windows

Decoder = Callable[[Tensor], Tensor]
"""Latent (B, C, ..., h, w) to pixels (..., channels, H, W), so many pixels per cell."""


@dataclass(frozen=True, kw_only=True)
class DecodeParams:
    """How a canvas is decoded, in latent cells.

    Convention:
        - `window` is what the decoder sees at once, context included
        - `context` cells at each inner edge of a window are seen by the decoder and then thrown away; a decoder that
          looks no further than that gives in windows exactly what it gives at once
        - neighbouring windows fade into each other over `blend` cells, which hides what is left of the difference
        - wrapping edges are inner edges
    """

    window: Size
    context: int = 8
    blend: int = 8
    wrap: Wrap = NO_WRAP

    def __post_init__(self) -> None:
        for name, cells in (("context", self.context), ("blend", self.blend)):
            if cells < 0:
                raise ValueError(f"{name}: must be 0 or more latent cells, got {cells}.")


def decode_plan(canvas: Size, params: DecodeParams) -> tuple[Window, ...]:
    """The parts of the canvas that the single calls of the decoder draw, without their context.

    Raises:
        ValueError: the window is below the `least_window`.
    """
    for axis, cells, least in zip(("height", "width"), params.window, least_window(canvas, params), strict=True):
        if cells < least:
            raise ValueError(
                f"{axis}: a decode window smaller than the canvas must be larger than twice the context "
                f"({params.context}) plus the blend ({params.blend}), here at least {least} latent cells, got {cells}."
            )
    height, row_stride = _drawn(canvas.height, params.window.height, params.wrap.y, params)
    width, column_stride = _drawn(canvas.width, params.window.width, params.wrap.x, params)
    return plan_windows(canvas, Size(height, width), Size(row_stride, column_stride), params.wrap)


def least_window(canvas: Size, params: DecodeParams) -> Size:
    """Along each axis what draws one cell besides context and blend, or the whole canvas if that is less."""
    context = 2 * params.context
    whole = (canvas.height + context * params.wrap.y, canvas.width + context * params.wrap.x)
    return Size(*(min(side, context + params.blend + 1) for side in whole))


def _drawn(canvas: int, window: int, wrap: bool, params: DecodeParams) -> tuple[int, int]:
    """Length and stride of the drawn parts along one axis."""
    context = 2 * params.context
    if canvas + context * wrap <= window:
        return canvas, canvas
    return window - context, window - context - params.blend


def decode_in_windows(latent: Tensor, decode: Decoder, params: DecodeParams) -> Tensor:
    """Decode `latent` (B, C, ..., H, W) window by window to pixels (..., channels, pixels per cell times H, W).

    One call of `decode` for each window of `decode_plan`. Where a single window holds everything, the result is that
    call's, bit for bit.
    """
    canvas = canvas_size(latent)
    windows = decode_plan(canvas, params)
    first, pixels_per_cell = _decode_part(latent, decode, windows[0], params)
    if len(windows) == 1:
        return first
    shape = (*first.shape[:-2], canvas.height * pixels_per_cell, canvas.width * pixels_per_cell)
    in_pixels = [window.scaled(pixels_per_cell) for window in windows]
    pixels = first.new_empty(1).expand(shape)
    weights = shared_weights("feathered", in_pixels, first.device, fusion_precision(first))
    fusion = Fusion(pixels, normalised(weights, canvas_size(pixels)))
    fusion.add([first], in_pixels[:1])
    for window, drawn in zip(windows[1:], in_pixels[1:], strict=True):
        part, _ = _decode_part(latent, decode, window, params)
        fusion.add([part], [drawn])
    return fusion.result()[0]


def _decode_part(latent: Tensor, decode: Decoder, window: Window, params: DecodeParams) -> tuple[Tensor, int]:
    """The pixels of `window`, decoded with its context, and the pixels per cell."""
    canvas = canvas_size(latent)
    top, bottom = with_context(window.top, window.height, canvas.height, params.context, params.wrap.y)
    left, right = with_context(window.left, window.width, canvas.width, params.context, params.wrap.x)
    rows = torch.arange(top, bottom, device=latent.device) % canvas.height
    columns = torch.arange(left, right, device=latent.device) % canvas.width
    pixels = decode(latent[..., rows[:, None], columns])
    pixels_per_cell = pixels.shape[-1] // (right - left)
    drawn = Window(window.top - top, window.left - left, window.height, window.width).scaled(pixels_per_cell)
    return pixels[..., drawn.top : drawn.top + drawn.height, drawn.left : drawn.left + drawn.width], pixels_per_cell


def with_context(start: int, length: int, canvas: int, context: int, wrap: bool) -> tuple[int, int]:
    """Along one axis, first and last cell of a window with its context; beyond the canvas where it wraps."""
    if wrap:
        return start - context, start + length + context
    return max(start - context, 0), min(start + length + context, canvas)


def largest_window(canvas: Size, params: DecodeParams, fits: Callable[[Size], bool], least: int = 64) -> Size:
    """The whole canvas (with the context of wrapping edges), its longer side halved until it `fits`.

    No side goes below `least` cells, or what context and blend need: there the decoder is on its own.
    """
    context = 2 * params.context
    least = max(least, context + params.blend + 1)
    window = Size(canvas.height + context * params.wrap.y, canvas.width + context * params.wrap.x)
    while not fits(window) and max(window) > least:
        longer = max(-(-max(window) // 2), least)
        window = Size(window.height, longer) if window.width >= window.height else Size(longer, window.width)
    return window

"""A picture of the windows on a canvas."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...core.canvas.windows import Size, Window, add_to
from .reached_windows import ReachedWindows
from .sheet import INK, LINE, MARGIN, PAPER, drawn_size, frames

NARROWEST = 640  # of the sheet, for the text
FEW, MANY = np.array([38, 66, 98]), np.array([143, 197, 235])  # windows that look at a place
EDGE, EXAMPLE = (228, 230, 235, 110), (255, 168, 64, 255)


def coverage(canvas: Size, windows: Sequence[Window]) -> torch.Tensor:
    """How many windows look at each cell, (H, W)."""
    count = torch.zeros(canvas)
    add_to(count, (torch.ones(window.size) for window in windows), windows)
    return count


def draw_plan(
    canvas: Size, windows: Sequence[Window], lines: Sequence[str], prompts: ReachedWindows | None = None
) -> Image.Image:
    """The canvas, lighter where more windows look, the edges of all windows, one of them in colour, and some text.

    Below, if there are any, where the prompts reach.
    """
    scale, (width, height) = drawn_size(canvas.width, canvas.height)
    count = coverage(canvas, windows)
    share = (count - count.min()) / (count.max() - count.min()).clamp(min=1)
    colours = (FEW + share[..., None].numpy() * (MANY - FEW)).astype(np.uint8)
    view = Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(view, "RGBA")
    for window in windows:
        _outline(draw, canvas, window, scale, EDGE, 1)
    _outline(draw, canvas, windows[len(windows) // 2], scale, EXAMPLE, 3)

    text = Image.new("RGB", (max(width, NARROWEST), LINE * len(lines)), PAPER)
    font, written = ImageFont.load_default(18), ImageDraw.Draw(text)
    for row, line in enumerate(lines):
        written.text((0, row * LINE), line, INK, font)
    parts = [view, text] if prompts is None else [view, text, prompts.drawn(view.size), prompts.legend(text.width)]
    sheet = Image.new("RGB", (text.width + 2 * MARGIN, MARGIN + sum(part.height + MARGIN for part in parts)), PAPER)
    top = MARGIN
    for part in parts:
        sheet.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    return sheet


def _outline(draw: ImageDraw.ImageDraw, canvas: Size, window: Window, scale: float, colour, width: int) -> None:
    for frame in frames(window, canvas):
        draw.rectangle([round(corner * scale) for corner in frame], outline=colour, width=width)

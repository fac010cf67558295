"""Where each prompt reaches: its colour on the canvas, and the windows that it runs in."""

import colorsys
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...core.canvas.places import Reach
from ...core.canvas.windows import Window, crop
from .sheet import INK, LINE, MARGIN, PAPER
from .words import count_of

MOST_LISTED = 12  # prompts below the drawing; the summary has all of them
CORE = 0.98  # of its largest weight: there a prompt is written down
NEXT_HUE = 0.382  # of the circle: neighbours differ much, and no two of many are alike


class ReachedWindows:
    """Prompts on the windows of a canvas."""

    def __init__(self, windows: Sequence[Window], prompts: Sequence[Reach]):
        self._windows = windows
        self._prompts = prompts

    @cached_property
    def _reached(self) -> list[list[bool]]:
        """For each prompt, in which windows it runs: where its weight is anywhere above 0."""
        return [[bool(crop(prompt.weights, window).any()) for window in self._windows] for prompt in self._prompts]

    def lines(self) -> list[str]:
        """All of it in words."""
        return [*self._in_general(), *self._one_by_one()]

    def _in_general(self) -> list[str]:
        per_window = [sum(window) for window in zip(*self._reached, strict=True)]
        total, windows = sum(per_window), len(self._windows)
        reach = f"{total / windows:.2g} of them in a window on average, at most {max(per_window)}"
        cost = f"{count_of(total, 'prediction')} per step, and {windows} more with a negative prompt"
        lines = [f"{count_of(len(self._prompts), 'prompt')}, {reach}: {cost}"]
        total_weights = torch.stack([prompt.weights for prompt in self._prompts]).sum(0)
        empty = (total_weights == 0).float().mean().item()
        if empty:
            lines.append(f"Warning: no prompt reaches {empty:.1%} of the canvas, which will be a grey block")
        return lines

    def _one_by_one(self) -> list[str]:
        return [
            f"{number} in {count_of(sum(reached), 'window')}: {prompt.name}"
            for number, (prompt, reached) in enumerate(zip(self._prompts, self._reached, strict=True), start=1)
        ]

    def drawn(self, size: tuple[int, int]) -> Image.Image:
        """The canvas, (width, height) pixels, in the colours of the prompts as they are mixed, with their numbers."""
        weights = torch.stack([prompt.weights for prompt in self._prompts])
        total = weights.sum(0)[..., None]
        colours = torch.tensor([colour_of(number) for number in range(len(weights))]).float()
        mixed = torch.einsum("nhw,nc->hwc", weights, colours) / total.clamp(min=1e-9)
        cells = torch.where(total > 0, mixed, torch.tensor(PAPER).float()).round().byte().numpy()
        view = Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)
        draw, font = ImageDraw.Draw(view), ImageFont.load_default(18)
        for number, one in enumerate(weights.numpy(), start=1):
            rows, columns = np.nonzero(one >= CORE * max(one.max(), 1e-9))
            if len(rows):  # a prompt that reaches nothing has no number
                x = (np.median(columns) + 0.5) / one.shape[1] * size[0]
                y = (np.median(rows) + 0.5) / one.shape[0] * size[1]
                draw.text((x, y), str(number), INK, font, "mm", stroke_width=3, stroke_fill=PAPER)
        return view

    def legend(self, width: int) -> Image.Image:
        """The lines on a sheet of this width, prompts beside their colour."""
        general, prompts = self._in_general(), self._one_by_one()
        shown = prompts[:MOST_LISTED] if len(prompts) > MOST_LISTED + 1 else prompts
        rest = [f"... and {len(prompts) - len(shown)} more, see the summary"] if len(shown) < len(prompts) else []
        sheet = Image.new("RGB", (width, LINE * (len(general) + len(shown) + len(rest))), PAPER)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
        for row, line in enumerate([*general, *shown, *rest]):
            number = row - len(general)
            listed = 0 <= number < len(shown)
            if listed:
                draw.rectangle((0, row * LINE + 4, MARGIN, row * LINE + 4 + MARGIN), colour_of(number))
            draw.text((2 * MARGIN if listed else 0, row * LINE), line, INK, font)
        return sheet


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a prompt, counted from 0."""
    red, green, blue = colorsys.hsv_to_rgb(0.58 + number * NEXT_HUE, 0.6, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)

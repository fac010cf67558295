"""A picture of where a panorama shows its seams."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFont

from ...core.canvas.windows import Size, Window
from .sheet import INK, LINE, MARGIN, PAPER, drawn_size, frames

NARROWEST = 760  # of the sheet, for the text
FAINT = (110, 114, 124)
NO_SEAM, WORST = 1.0, 2.0  # energies at the two ends of the colours
COLOURS = (86, 180, 233), (240, 228, 66), (240, 70, 40)  # which also colour-blind people tell apart
BAR, GAP = 56, 4  # pixels: the bar of the worst energy, and its distance from the panorama
NUMBER = (36, 16)  # room for a number
KEY = (240, 12)  # the colours in the legend
FRAME, FRAMED = 3, (255, 255, 255)  # pixels and colour of the frame around the worst seam
ENLARGED = 288  # pixels: largest side of that place below the text

At = Callable[[float, float], tuple[float, float]]
"""(along the side of the panorama, away from it) to (x, y) on the sheet."""


class Mark(NamedTuple):
    """A border of windows, or an edge that meets the other one."""

    place: float  # pixels from the left or the top of the panorama
    energy: float


class Spot(NamedTuple):
    """A part of a panorama to look at."""

    window: Window  # in pixels; it may cross edges that meet
    text: str


def draw_metrics(
    picture: Image.Image,
    rows: Sequence[Mark],
    columns: Sequence[Mark],
    lines: Sequence[str],
    worst: Spot | None = None,
) -> Image.Image:
    """The panorama with a line at every mark, bars as long as the energies beside it, and some text below.

    `worst` gets a frame, and below the text it is seen enlarged.
    """
    scale, size = drawn_size(*picture.size)
    view = picture.resize(size, Image.Resampling.LANCZOS)
    left, top = MARGIN, MARGIN + (BAR + NUMBER[1] if columns else 0)
    right, bottom = left + view.width, top + view.height
    width = right + (BAR + NUMBER[0] if rows else 0) + MARGIN
    # The text must not change the size: the pictures of a batch must have one size.
    below = bottom + MARGIN + LINE * (len(lines) + 1)
    room = ENLARGED + LINE + MARGIN if worst else 0
    sheet = Image.new("RGB", (max(width, NARROWEST), below + MARGIN + room), PAPER)
    sheet.paste(view, (left, top))
    draw, font = ImageDraw.Draw(sheet, "RGBA"), ImageFont.load_default(18)
    if columns:
        _draw_marks(draw, columns, scale, view.size, lambda along, away: (left + along, top - away), "mb")
    if rows:
        _draw_marks(draw, rows, scale, (view.height, view.width), lambda along, away: (right + away, top + along), "lm")
    for row, line in enumerate(lines):
        draw.text((left, bottom + MARGIN + row * LINE), line, INK, font)
    _draw_key(draw, left, bottom + MARGIN + len(lines) * LINE)
    if worst:
        for frame in frames(worst.window, Size(picture.height, picture.width)):
            corners = [round(corner * scale) for corner in frame]
            part = Image.new("L", view.size)
            ImageDraw.Draw(part).rectangle(corners, outline=255, width=FRAME)
            sheet.paste(FRAMED, (left, top), part)
        draw.text((left, below), f"The worst seam, {worst.text}, framed above and enlarged:", INK, font)
        sheet.paste(_enlarged(picture, worst.window), (left, below + LINE))
    return sheet


def _enlarged(picture: Image.Image, window: Window) -> Image.Image:
    """The part, as large as there is room for."""
    moved = ImageChops.offset(picture, -window.left, -window.top)
    part = moved.crop((0, 0, window.width, window.height))
    times = ENLARGED // max(part.size) or 1
    return part.resize((part.width * times, part.height * times), Image.Resampling.NEAREST)


def colour_of(energy: float) -> tuple[int, int, int]:
    """From the first of `COLOURS`, no seam, to the last."""
    place = _badness(energy) * (len(COLOURS) - 1)
    before = min(int(place), len(COLOURS) - 2)
    mixed = [a + (place - before) * (b - a) for a, b in zip(*COLOURS[before : before + 2], strict=True)]
    return round(mixed[0]), round(mixed[1]), round(mixed[2])


def _badness(energy: float) -> float:
    return min(max((energy - NO_SEAM) / (WORST - NO_SEAM), 0.0), 1.0)


def _draw_marks(
    draw: ImageDraw.ImageDraw, marks: Sequence[Mark], scale: float, size: tuple[int, int], at: At, anchor: str
) -> None:
    """The marks along one side of a panorama of `size` (that side, the other) on the sheet."""
    along, across = size
    font, worst = ImageFont.load_default(12), max(marks, key=lambda mark: mark.energy)
    places = sorted(mark.place * scale for mark in marks)
    roomy = all(after - before >= NUMBER[0] for before, after in pairwise(places))
    one = GAP + BAR / WORST * NO_SEAM
    draw.line((at(0, one), at(along, one)), FAINT)
    for mark in marks:
        place, colour = mark.place * scale, colour_of(mark.energy)
        tip = GAP + BAR * min(mark.energy / WORST, 1.0)
        draw.line((at(place, 0), at(place, -across)), (*colour, round(70 + 160 * _badness(mark.energy))), 2)
        draw.line((at(place, GAP), at(place, tip)), colour, 5)
        if roomy or mark == worst:  # a number hides the line behind it
            number = f"{mark.energy:.2f}"
            draw.text(at(place, tip + GAP), number, INK, font, anchor, stroke_width=2, stroke_fill=PAPER)


def _draw_key(draw: ImageDraw.ImageDraw, left: float, top: float) -> None:
    """What the colours and the length of the bars mean."""
    width, height = KEY
    font, middle = ImageFont.load_default(14), top + LINE / 2
    draw.text((left, middle), "1: no seam", INK, font, "lm")
    start = left + draw.textlength("1: no seam", font) + 2 * GAP
    for x in range(width):
        energy = NO_SEAM + (WORST - NO_SEAM) * x / (width - 1)
        draw.line((start + x, middle - height / 2, start + x, middle + height / 2), colour_of(energy))
    draw.text((start + width + 2 * GAP, middle), "2: a colour step twice as large as nearby", INK, font, "lm")

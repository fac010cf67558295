"""The sheet that Panorama Plan and Panorama Metrics draw on: a canvas, and some text below."""

from ...core.canvas.windows import Size, Window

PAPER, INK = (24, 26, 32), (228, 230, 235)
MARGIN, LINE = 16, 26  # pixels around the canvas, and from one line of text to the next
LONGER_SIDE, SHORTEST_SIDE, LONGEST_SIDE = 1024, 96, 4096  # of the drawn canvas, in pixels; the last one wins


def frames(window: Window, canvas: Size) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of a window, and once more on the other side where it crosses an edge."""
    lefts, tops = (
        (start, start - side) if start + length > side else (start,)
        for start, length, side in (
            (window.left, window.width, canvas.width),
            (window.top, window.height, canvas.height),
        )
    )
    return [(left, top, left + window.width, top + window.height) for top in tops for left in lefts]


def drawn_size(width: int, height: int) -> tuple[float, tuple[int, int]]:
    """How much larger a canvas is drawn, and (width, height) of the drawing in pixels.

    As large as a picture in a node should be; a long strip is drawn longer, so that it does not become a thread.
    """
    longer, shorter = max(width, height), min(width, height)
    scale = min(max(LONGER_SIDE / longer, SHORTEST_SIDE / shorter), LONGEST_SIDE / longer)
    return scale, (max(round(width * scale), 1), max(round(height * scale), 1))

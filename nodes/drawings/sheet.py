"""The sheet that Panorama Plan and Panorama Metrics draw on: a canvas, and some text below."""

PAPER, INK = (24, 26, 32), (228, 230, 235)
MARGIN, LINE = 16, 26  # pixels around the canvas, and from one line of text to the next
LONGER_SIDE, SHORTEST_SIDE, LONGEST_SIDE = 1024, 96, 4096  # of the drawn canvas, in pixels; the last rules


def drawn_size(width: int, height: int) -> tuple[float, tuple[int, int]]:
    """How much larger a canvas is drawn, and (width, height) of the drawing in pixels.

    As large as a picture in a node should be; a long strip is longer, so that it is no thread.
    """
    longer, shorter = max(width, height), min(width, height)
    scale = min(max(LONGER_SIDE / longer, SHORTEST_SIDE / shorter), LONGEST_SIDE / longer)
    return scale, (max(round(width * scale), 1), max(round(height * scale), 1))

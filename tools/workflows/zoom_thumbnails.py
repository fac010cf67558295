"""Square pictures of zooms: the levels with the part of each that the next one shows, or how they nest."""

from math import ceil

from comfy_server import Server
from PIL import Image, ImageDraw, ImageFont

from .thumbnails import MARGIN, SIDE, pictures, write

BACK, LINE = (24, 26, 32), (255, 255, 255)
LARGE = SIDE // 2  # of a level while it is framed


def zoom_thumbnail(server: Server, prompt: dict) -> Image.Image:
    """The levels that a workflow paints, after its photograph if it has one; how they nest if it needs a checkpoint."""
    types = {found["class_type"]: key for key, found in prompt.items()}
    count, zoom_factor = stack(server, prompt[types["ZoomPrompts"]])
    if "LoadDemoModel" not in types:
        return nested(count, zoom_factor)
    run = server.run(prompt, timeout=900)
    levels = pictures(server, run, types["ExploreZoomStack"], "zoom_levels")
    shown = [*(framed(level, zoom_factor) for level in levels[:-1]), levels[-1]]
    named = [(f"level {number}", level) for number, level in enumerate(shown)]
    if "PreviewImage" in types:
        named = [("photograph", *pictures(server, run, types["PreviewImage"])), *named]
    return contact_sheet(named)


def stack(server: Server, zoom_prompts: dict) -> tuple[int, int]:
    """How many levels, and the factor between them, as Zoom Prompts says."""
    asked = {
        "model": {"class_type": "LoadDemoModel", "inputs": {}},
        "prompts": zoom_prompts | {"inputs": zoom_prompts["inputs"] | {"clip": ["model", 1]}},
        "lines": {"class_type": "PreviewAny", "inputs": {"source": ["prompts", 1]}},
        "zoom_factor": {"class_type": "PreviewAny", "inputs": {"source": ["prompts", 2]}},
    }
    outputs = server.run(asked).outputs
    return len(outputs["lines"]["text"][0].splitlines()), int(outputs["zoom_factor"]["text"][0])


def framed(level: Image.Image, zoom_factor: int) -> Image.Image:
    """A level with a line around what the next one shows."""
    scale = ceil(LARGE / min(level.size))
    level = level.resize((scale * level.width, scale * level.height), Image.Resampling.LANCZOS)
    around(ImageDraw.Draw(level), level.width / 2, level.height / 2, level.width / zoom_factor)
    return level


def around(draw: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    """A square line."""
    draw.rectangle((x - side / 2, y - side / 2, x + side / 2, y + side / 2), outline=LINE, width=2)


def contact_sheet(named: list[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures in rows, each with its name."""
    columns = ceil(len(named) ** 0.5)
    square, side = Image.new("RGB", (SIDE, SIDE), BACK), SIDE // columns
    for index, (name, picture) in enumerate(named):
        top, left = (side * place for place in divmod(index, columns))
        square.paste(picture.resize((side - 4, side - 4), Image.Resampling.LANCZOS), (left + 2, top + 2))
        at = (left + 12, top + side - 40)  # the template browser has a badge in the upper left corner
        ImageDraw.Draw(square).text(at, name, LINE, ImageFont.load_default(22), stroke_width=2, stroke_fill=BACK)
    return square


def nested(count: int, zoom_factor: int) -> Image.Image:
    """Squares in squares, each `zoom_factor` times smaller."""
    square, largest = Image.new("RGB", (SIDE, SIDE), BACK), SIDE - 8 * MARGIN
    draw = ImageDraw.Draw(square)
    for level in range(count):
        around(draw, SIDE / 2, SIDE / 2, largest / zoom_factor**level)
    write(square, SIDE - 3 * MARGIN, f"{count} levels, {zoom_factor ** (count - 1)} x in all", 30)
    return square

"""Square pictures for the template browser: what a workflow paints, next to what it paints without what it is about."""

import copy
import io
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

from comfy_server import Run, Server
from PIL import Image, ImageDraw, ImageFont

SIDE = 512  # pixels
MARGIN = 16  # around the drawing of Panorama Plan
CAPTION = 36  # pixels below each picture of a comparison: above, the template browser has a badge
WIDEST = 4  # a picture with more times its height is shown in two lines
# Width and height of the windows that a model knows, by what is in a workflow's name.
NATIVE = {
    **dict.fromkeys(("sdxl", "flux", "sd35", "z_image"), (1024, 1024)),
    "sd15": (512, 512),
    "qwen_image": (1328, 1328),
    "wan": (832, 480),
}
DEMO_GRID = 32  # pixels: the demo model draws the plans of others, and its windows are multiples of it
CANVASES = ("PanoramaLatent", "EmptyHunyuanLatentVideo")
LARGE = (2048, 2048)  # what a picture that is to be enlarged may become, and one that is edited


class Without(NamedTuple):
    """How to run a workflow without what it is about."""

    captions: tuple[str, str]  # without, with
    off: dict[str, dict]  # inputs of nodes, by class


WINDOWS_ALONE = "Panorama Windows alone"
SYNC_OFF, TWIN_OFF = {"SyncGuidance": {"weight": 0.0}}, {"TwinCropFusion": {"stop": 0.0, "cross_sampling": False}}
SYNCED = Without((WINDOWS_ALONE, "with Sync Guidance"), SYNC_OFF)
COMPARED = {
    "panorama_sync_demo": SYNCED,
    "panorama_360_sync_demo": SYNCED,
    "panorama_layout_demo": Without(("Areas alone", "with Sync Guidance"), SYNC_OFF),
    "panorama_twin_demo": Without(("8 windows, no overlap", "with Twin Crop Fusion"), TWIN_OFF),
    "panorama_full_demo": Without(
        (WINDOWS_ALONE, "Multi-Scale + Sync + Twin"), {"MultiScaleSampler": {"strength": 0.0}, **SYNC_OFF, **TWIN_OFF}
    ),
}
CAPTIONS = {
    "twin_images_demo": "Two pictures, and with the twin",
    "panorama_360_seasons_demo": "Four prompts, side by side",
}


def thumbnail(server: Server, name: str, prompt: dict) -> Image.Image:
    """The middle of what the workflow paints, a comparison, or its plan if it needs a checkpoint."""
    types = {found["class_type"]: key for key, found in prompt.items()}
    if "LoadDemoModel" not in types:
        return plan(server, name, prompt, types)
    output = types.get("SaveImage") or types["SavePanorama"]
    paintings = painted(server, prompt, output)
    if name in COMPARED:
        captions, off = COMPARED[name]
        return comparison(captions, [*painted(server, changed(prompt, off), output), *paintings])
    if name in CAPTIONS:
        return comparison([CAPTIONS[name]], paintings)
    (picture,) = paintings
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def painted(server: Server, prompt: dict, output: str) -> list[Image.Image]:
    """Run a prompt and fetch the pictures of one of its nodes."""
    return pictures(server, server.run(prompt, timeout=900), output)


def pictures(server: Server, run: Run, output: str, key: str = "images") -> list[Image.Image]:
    """The pictures that a node has shown."""
    files = [server.get(f"/view?{urllib.parse.urlencode(image)}") for image in run.outputs[output][key]]
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in files]


def changed(prompt: dict, inputs: dict[str, dict]) -> dict:
    """A prompt with other values for inputs of nodes, by class."""
    prompt = copy.deepcopy(prompt)
    for found in prompt.values():
        found["inputs"] |= inputs.get(found["class_type"], {})
    return prompt


def comparison(captions: Sequence[str], pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other, each as wide as the thumbnail, long ones in two lines."""
    sheets = [in_lines(picture) for picture in pictures]
    room = SIDE // len(sheets) - CAPTION
    sheets = [sheet.resize(inside(sheet.size, room), Image.Resampling.LANCZOS) for sheet in sheets]
    height = sum(sheet.height + CAPTION for sheet in sheets)
    square, top = Image.new("RGB", (SIDE, SIDE), (24, 26, 32)), (SIDE - height) // 2
    for caption, sheet in zip(captions, sheets, strict=True):
        square.paste(sheet, ((SIDE - sheet.width) // 2, top))
        write(square, top + sheet.height + CAPTION // 6, caption, 24)
        top += CAPTION + sheet.height
    return square


def in_lines(picture: Image.Image) -> Image.Image:
    """The picture, or its left half above its right half if it is long."""
    if picture.width <= WIDEST * picture.height:
        return picture
    half = picture.width // 2
    sheet = Image.new("RGB", (half, 2 * picture.height + 4), (24, 26, 32))
    for line in range(2):
        sheet.paste(picture.crop((line * half, 0, (line + 1) * half, picture.height)), (0, line * (picture.height + 4)))
    return sheet


def inside(size: tuple[int, int], room: int) -> tuple[int, int]:
    """The largest size of these proportions that is no wider than the thumbnail and at most `room` high."""
    scale = min(SIDE / size[0], room / size[1])
    return round(size[0] * scale), round(size[1] * scale)


def plan(server: Server, name: str, prompt: dict, types: dict) -> Image.Image:
    """The windows as Panorama Plan draws them, with the sizes below. The demo model stands in."""
    window, canvas, asked = next(size for family, size in NATIVE.items() if family in name), LARGE, {}
    if "JointUpscale" not in types:
        asked = prompt[types["PanoramaWindows"]]["inputs"]
        for latent in (prompt[types[kind]]["inputs"] for kind in CANVASES if kind in types):
            canvas = latent["width"], latent["height"]
    if asked.get("window_width"):
        window = asked["window_width"], asked["window_height"]
    drawn_as = [-(-side // DEMO_GRID) * DEMO_GRID for side in window]
    sizes = {"window_width": drawn_as[0], "window_height": drawn_as[1], "model": ["model", 0]}
    (drawn,) = painted(server, plan_alone(canvas, asked | sizes), "plan")
    width, height = canvas
    side = drawn.width - 2 * MARGIN
    view = drawn.crop((MARGIN, MARGIN, MARGIN + side, MARGIN + side * height // width))
    square = Image.new("RGB", (SIDE, SIDE), drawn.getpixel((0, 0)))
    view = view.resize((SIDE - 2 * MARGIN, (SIDE - 2 * MARGIN) * height // width), Image.Resampling.LANCZOS)
    top = (SIDE - view.height) // 2
    square.paste(view, (MARGIN, top))
    if view.height < view.width:
        write(square, top - 60, f"{width} x {height}", 30)
        write(square, top + view.height + 30, f"windows of {window[0]} x {window[1]}", 30)
    return square


def plan_alone(canvas: tuple[int, int], asked: dict) -> dict:
    """A graph that draws the windows of a canvas (width, height), with what is `asked` of Panorama Windows."""
    usual = {"overlap": 0.5, "windows": "overlapping", "wrap_x": False, "wrap_y": False}
    width, height = canvas
    graph = {
        "model": ("LoadDemoModel", {}),
        "windows": ("PanoramaWindows", usual | asked),
        "latent": ("PanoramaLatent", {"width": width, "height": height, "batch_size": 1}),
        "plan": ("PanoramaPlan", {"model": ["windows", 0], "samples": ["latent", 0]}),
    }
    return {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in graph.items()}


def write(square: Image.Image, top: int, line: str, size: int) -> None:
    """A line of text in the middle."""
    ImageDraw.Draw(square).text((SIDE // 2, top), line, "white", ImageFont.load_default(size), anchor="mt")

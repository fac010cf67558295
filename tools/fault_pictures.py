"""Faults that people see in their pictures, made on purpose with the bundled model, each above the same without it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from comfy_server import Server
from PIL import Image, ImageChops, ImageDraw, ImageFont
from workflows.thumbnails import pictures

WIDTH, CAPTION = 768, 40  # pixels
BACK, INK = (24, 26, 32), (255, 255, 255)
DUSK, FREE = "autumn dusk sky mountains forest lake", "far sky mountains forest meadow"
SCENE = "summer day sky mountains forest meadow"
OVERFLOWS = 40  # times ten: more than a float of 32 bits holds

ROW, HIGH = (1024, 128), (768, 256)  # width and height of a canvas that is one window high, and two
LEVELS = [f"summer dusk {distance} meadow" for distance in ("far", "wide", "near", "close")]
HALF = {"width": 512, "height": 128, "x": 0, "y": 0, "strength": 1.0}


def node(class_type: str, **inputs) -> dict:
    """One node of an API prompt."""
    return {"class_type": class_type, "inputs": inputs}


def panorama(prompt: str, size: tuple[int, int] = ROW, more: dict | None = None, **changes: dict[str, Any]) -> dict:
    """An API prompt of a panorama, with `more` nodes, and inputs that differ from the usual ones, by node."""
    width, height = size
    windows = {"window_width": 0, "window_height": 0, "overlap": 0.5, "windows": "overlapping"}
    sampled = {"seed": 1, "steps": 20, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}
    links = {"positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0]}
    graph = {
        "model": node("LoadDemoModel"),
        "positive": node("CLIPTextEncode", clip=["model", 1], text=prompt),
        "negative": node("CLIPTextEncode", clip=["model", 1], text=""),
        "windows": node("PanoramaWindows", model=["model", 0], wrap_x=False, wrap_y=False, **windows),
        "latent": node("PanoramaLatent", model=["model", 0], width=width, height=height, batch_size=1),
        "sampler": node("KSampler", model=["windows", 0], **links, **sampled),
        "decode": node("PanoramaDecode", samples=["sampler", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="fault"),
        **(more or {}),
    }
    for key, inputs in changes.items():
        graph[key]["inputs"] |= inputs
    return graph


def multi_scale() -> dict:
    """The stacked landscapes, sampled by Multi-Scale Sampler."""
    graph = panorama(SCENE, HIGH)
    graph["sampler"]["class_type"] = "MultiScaleSampler"
    graph["sampler"]["inputs"] |= {"scales": 0, "strength": 1.0}
    return graph


def synced() -> dict:
    """The changing palette, with Sync Guidance."""
    guide = node("SyncGuidance", model=["windows", 0], weight=20.0, loss="latent")
    return panorama(FREE, more={"sync": guide}, sampler={"model": ["sync", 0]})


def gap(whole: bool) -> dict:
    """A prompt for the left half alone; `whole` adds one for all of the picture."""
    more = {"area": node("ConditioningSetArea", conditioning=["positive", 0], **HALF)}
    if whole:
        more["both"] = node("ConditioningCombine", conditioning_1=["area", 0], conditioning_2=["positive", 0])
    return panorama(DUSK, more=more, sampler={"positive": ["both" if whole else "area", 0]})


def overflow() -> dict:
    """A latent whose numbers overflow, as some do within a VAE in half precision."""
    more, source = {}, ["sampler", 0]
    for turn in range(OVERFLOWS):
        more[f"times{turn}"] = node("LatentMultiply", samples=source, multiplier=10.0)
        source = [f"times{turn}", 0]
    return panorama(DUSK, more=more, decode={"samples": source})


def levels(together: bool) -> dict:
    """The levels of a zoom, sampled together as a stack, or as a batch of which no picture knows another."""
    prompts = {"clip": ["model", 1], "preset": "own prompts", "prompts": "\n".join(LEVELS), "negative": ""}
    stack = panorama("")["sampler"]["inputs"] | {"sampler_name": "euler_ancestral", "steps": 30, "cfg": 3.0, "seed": 3}
    for name in ("model", "positive", "negative", "latent_image"):
        del stack[name]
    graph = {"model": node("LoadDemoModel")}
    if together:
        graph["prompts"] = node("ZoomPrompts", **prompts, zoom_factor=2)
        links = {"model": ["model", 0], "zoom_prompts": ["prompts", 0], "vae": ["model", 2]}
        graph["sampler"] = node("ZoomStackSampler", **links, **stack, width=128, height=128, blending="mixed")
        return graph | {"save": node("SaveImage", images=["sampler", 1], filename_prefix="fault")}
    graph["latent"] = node("PanoramaLatent", model=["model", 0], width=128, height=128, batch_size=1)
    graph["negative"] = node("CLIPTextEncode", clip=["model", 1], text="")
    for number, prompt in enumerate(LEVELS):
        links = {"model": ["model", 0], "negative": ["negative", 0], "latent_image": ["latent", 0]}
        graph[f"prompt{number}"] = node("CLIPTextEncode", clip=["model", 1], text=prompt)
        one = stack | {"seed": 3 + number}
        graph[f"sampler{number}"] = node("KSampler", positive=[f"prompt{number}", 0], **links, **one)
        graph[f"decode{number}"] = node("VAEDecode", samples=[f"sampler{number}", 0], vae=["model", 2])
        graph[f"save{number}"] = node("SaveImage", images=[f"decode{number}", 0], filename_prefix="fault")
    return graph


def as_painted(picture: Image.Image) -> Image.Image:
    """All of it."""
    return picture


def edges_in_the_middle(picture: Image.Image) -> Image.Image:
    """Left and right edge side by side, as in a viewer for 360 degrees, and what is near them."""
    turned = ImageChops.offset(picture, picture.width // 2, 0)
    return turned.crop((picture.width // 4, 0, 3 * picture.width // 4, picture.height))


class Fault(NamedTuple):
    """Two captions, each with its prompt, the faulty one first, and what is shown of both pictures."""

    compared: dict[str, dict]
    shown: Callable[[Image.Image], Image.Image] = as_painted


FAULTS = {
    "seams": Fault({"overlap 0": panorama(DUSK, windows={"overlap": 0.0}), "overlap 0.5": panorama(DUSK)}),
    "stacked": Fault({"KSampler": panorama(SCENE, HIGH), "Multi-Scale Sampler": multi_scale()}),
    "palettes": Fault({"Panorama Windows alone": panorama(FREE), "with Sync Guidance": synced()}),
    "edge": Fault(
        {
            "wrap_x off: left and right edge": panorama(DUSK),
            "wrap_x on, twice": panorama(DUSK, windows={"wrap_x": True}, decode={"wrap_x": True}),
        },
        edges_in_the_middle,
    ),
    "washed_out": Fault({"3 steps": panorama(DUSK, sampler={"steps": 3}), "20 steps": panorama(DUSK)}),
    "speckled": Fault(
        {"empty canvas, denoise 0.5": panorama(DUSK, sampler={"denoise": 0.5}), "denoise 1": panorama(DUSK)}
    ),
    "grey_block": Fault({"no prompt on the right": gap(False), "and one for the whole picture": gap(True)}),
    "zoom": Fault({"each level sampled alone": levels(False), "Zoom Stack Sampler": levels(True)}),
    "black": Fault({"numbers that overflow": overflow(), "numbers in range": panorama(DUSK)}),
}


def saved(server: Server, prompt: dict) -> list[Image.Image]:
    """What all Save Image nodes of a prompt saved, in their order."""
    run = server.run(prompt, timeout=900)
    return [picture for key in prompt if key.startswith("save") for picture in pictures(server, run, key)]


def side_by_side(sheets: list[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    row = Image.new("RGB", (sum(sheet.width for sheet in sheets), sheets[0].height))
    for number, sheet in enumerate(sheets):
        row.paste(sheet, (number * sheet.width, 0))
    return row


def fault_picture(server: Server, name: str) -> Image.Image:
    """Both pictures of a fault, each with its caption below."""
    compared, shown = FAULTS[name]
    sheets = [shown(side_by_side(saved(server, prompt))) for prompt in compared.values()]
    sheets = [sheet.resize((WIDTH, WIDTH * sheet.height // sheet.width), Image.Resampling.LANCZOS) for sheet in sheets]
    whole = Image.new("RGB", (WIDTH, sum(sheet.height + CAPTION for sheet in sheets)), BACK)
    draw, top = ImageDraw.Draw(whole), 0
    for caption, sheet in zip(compared, sheets, strict=True):
        whole.paste(sheet, (0, top))
        top += sheet.height + CAPTION
        draw.text((WIDTH / 2, top - CAPTION / 2), caption, INK, ImageFont.load_default(24), anchor="mm")
    return whole

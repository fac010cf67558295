"""Make everything in workflows/: UI files, API files and thumbnails. `make workflows` runs it.

Each workflow is written down here as an API prompt, built in ComfyUI's front end in headless Chromium, and saved by
the front end itself, so both files are what a person would get from its menus. The demo workflows are then run for
their thumbnails; those for checkpoints that are not here show their plan of windows instead. With names as arguments
only these workflows are made.
"""

import io
import json
import sys
import tempfile
import urllib.parse
import uuid
from pathlib import Path

from browser import front_end
from comfy_server import Server, running_server
from PIL import Image, ImageDraw, ImageFont

WORKFLOWS = Path(__file__).parents[1] / "workflows"
THUMBNAIL = 512  # pixels
MARGIN = 16  # around the drawing of Panorama Plan

SD15 = "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
SDXL = "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"


def node(class_type: str, column: int, title: str = "", **inputs) -> dict:
    """One node of a graph for `FrontEnd.build`."""
    return {"class_type": class_type, "column": column, "title": title, "inputs": inputs}


def note(text: str, height: int) -> dict:
    """What to change and what to expect: the first thing in the first column."""
    return node("MarkdownNote", 0, "Read me", text=text) | {"size": [360, height], "color": "pale_blue"}


def second_row(graph: dict) -> dict:
    """The same nodes below the others."""
    return {key: found | {"row": 1} for key, found in graph.items()}


def prompts(positive: str, negative: str = "", clip: str = "model", column: int = 1) -> dict:
    """The two prompts."""
    return {
        "positive": node("CLIPTextEncode", column, "Prompt", clip=[clip, 1], text=positive) | {"color": "green"},
        "negative": node("CLIPTextEncode", column, "Negative prompt", clip=[clip, 1], text=negative) | {"color": "red"},
    }


def sampler(class_type: str, column: int, title: str = "", **inputs) -> dict:
    """KSampler or MultiScaleSampler with the links that all workflows share, and the demo model's settings."""
    shared = {
        "model": ["windows", 0],
        "seed": 1,
        "control_after_generate": "fixed",
        "steps": 20,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "karras",
        "positive": ["positive", 0],
        "negative": ["negative", 0],
        "latent_image": ["latent", 0],
        "denoise": 1.0,
    }
    room = {"KSampler": 500, "MultiScaleSampler": 620}[class_type]  # for the preview below the widgets
    return node(class_type, column, title, **(shared | inputs)) | {"size": [300, room]}


def finish(name: str, column: int, **decode) -> dict:
    """From the sampler to a file."""
    return {
        "decode": node("PanoramaDecode", column, samples=["sampler", 0], vae=["model", 2], **decode),
        "save": node("SaveImage", column + 1, images=["decode", 0], filename_prefix=name) | {"size": [560, 300]},
    }


def demo(name: str, text: str, prompt: str, sample: dict, windows: dict | None = None, **decode) -> dict:
    """A panorama of 1024 x 256 pixels by the bundled model."""
    return {
        "note": note(text, 330),
        "model": node("LoadDemoModel", 0),
        **prompts(prompt),
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=1024, height=256),
        "windows": node("PanoramaWindows", 1, model=["model", 0], **(windows or {})),
        "sampler": sample,
        **finish(name, 3, **decode),
    }


def checkpoint(name: str, text: str, file: str, url: str, width: int, height: int, **settings) -> dict:
    """A panorama by a checkpoint that people have, with the plan of its windows."""
    models = [{"name": file, "url": f"{url}{file}", "directory": "checkpoints"}]
    positive = "wide panorama of a mountain lake at sunset, pine forest, snowy peaks, photograph, highly detailed"
    return {
        "note": note(text, 360),
        "model": node("CheckpointLoaderSimple", 0, ckpt_name=file) | {"properties": {"models": models}},
        **prompts(positive, "text, watermark, frame, blurry"),
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=width, height=height),
        "windows": node("PanoramaWindows", 1, model=["model", 0]),
        "sampler": sampler("KSampler", 2, sampler_name="dpmpp_2m", scheduler="karras", **settings),
        **finish(name, 3),
        "plan": node("PanoramaPlan", 3, model=["windows", 0], samples=["latent", 0]) | {"size": [340, 280]},
    }


WORDS = "The demo model knows seasons, hours, distances and a few things; its help page lists them. "

GRAPHS = {
    "panorama_demo": demo(
        "panorama_demo",
        "## Panorama without a checkpoint\n\n"
        "The demo model paints 128 x 128 pixels at a time. **Panorama Windows** lets it paint 1024 x 256: it sees the "
        "canvas through overlapping windows, which are fused at every step (MultiDiffusion).\n\n"
        f"**Change:** the prompt, the seed, width and height (multiples of 32), the overlap. {WORDS}\n\n"
        "**Expect:** no seams, but windows that each have their own idea of the layout: shores and ridges break off. "
        "*panorama_msd_demo* repairs that.",
        "autumn dusk lake mountains",
        sampler("KSampler", 2),
    ),
    "panorama_msd_demo": demo(
        "panorama_msd_demo",
        "## Panorama with one layout\n\n"
        "**Multi-Scale Sampler** first looks at the canvas at half the size, where a window sees a whole scene, and "
        "guides the windows of the full size towards it.\n\n"
        "**Change:** *weight* (0 is *panorama_demo*, more is a stricter layout), *scales* (more for canvases many "
        "windows high), the prompt, the seed.\n\n"
        "**Expect:** sky above mountains above forest above lake, all along. Both sides of the canvas should be at "
        "least twice the model's size.",
        "autumn dusk lake mountains",
        sampler("MultiScaleSampler", 2),
    ),
    "panorama_360_demo": demo(
        "panorama_360_demo",
        "## All around\n\n"
        "With *wrap_x* in **Panorama Windows** windows also lie across the left and the right edge, and with *wrap_x* "
        "in **Panorama Decode** the decoder sees across them: put two copies side by side and there is no seam.\n\n"
        "**Change:** *wrap_y* in both for a texture that repeats in both directions, the prompt, the seed.\n\n"
        "**Expect:** a panorama without an end. It is a cylinder: a model that draws equirectangular pictures makes "
        "a sphere of it.",
        "winter dawn mountains forest",
        sampler("MultiScaleSampler", 2),
        {"wrap_x": True},
        wrap_x=True,
    ),
    "image_to_panorama_demo": {
        "note": note(
            "## A picture becomes a panorama\n\n"
            "The upper row makes a picture. **Panorama Latent** puts it in the middle of the canvas and masks it, and "
            "the sampler paints around it.\n\n"
            "**Change:** put *Load Image* in place of the upper row for a picture of yours (and a checkpoint in place "
            "of the demo model); *image_scale*, *image_x*, *image_y*: its size and place; *feather*: how much of its "
            "edge may change. Keep an ancestral sampler: its fresh noise leads the surroundings to the picture.\n\n"
            "**Expect:** the picture in the middle, as it was, in a wider scene. Describe both with the same prompt.",
            360,
        ),
        "model": node("LoadDemoModel", 0),
        **prompts("summer day lake mountains"),
        "small": node("PanoramaLatent", 2, "Canvas of the picture", model=["model", 0], width=256, height=256),
        "picture_sampler": sampler("MultiScaleSampler", 3, "Picture", latent_image=["small", 0]),
        "picture": node("VAEDecode", 4, samples=["picture_sampler", 0], vae=["model", 2]),
        "look": node("PreviewImage", 5, images=["picture", 0]) | {"size": [300, 300]},
        **second_row(
            {
                "windows": node("PanoramaWindows", 1, model=["model", 0]),
                "latent": node(
                    "PanoramaLatent",
                    2,
                    "Picture on the canvas",
                    model=["model", 0],
                    image=["picture", 0],
                    vae=["model", 2],
                    width=1024,
                    height=256,
                    feather=32,
                ),
                # Fresh noise at every step lets the surroundings find their way to the picture; euler leaves edges.
                "sampler": sampler(
                    "MultiScaleSampler", 3, "Panorama", seed=3, steps=30, sampler_name="euler_ancestral"
                ),
                **finish("image_to_panorama_demo", 4),
            }
        ),
    },
    "panorama_sd15": checkpoint(
        "panorama_sd15",
        "## Panorama with Stable Diffusion 1.5\n\n"
        "2048 x 512 pixels through windows of 512 x 512, the size that the model knows.\n\n"
        "**Change:** the checkpoint (any of the SD 1.5 family; 0 in *window_width* and *window_height* means its own "
        "size), the prompt, width and height. Mute *Save Image* (Ctrl+M) to queue only the **plan**: how many "
        "windows, and what a step costs.\n\n"
        "**Expect:** about seven times the time of one 512 x 512 picture. Describe the whole scene and not an object: "
        "every window gets the prompt. For 1024 pixels of height and more use *Multi-Scale Sampler*.",
        "v1-5-pruned-emaonly-fp16.safetensors",
        SD15,
        2048,
        512,
        steps=25,
        cfg=7.0,
    ),
    "panorama_sdxl": checkpoint(
        "panorama_sdxl",
        "## Panorama with SDXL\n\n"
        "3072 x 1024 pixels through windows of 1024 x 1024, the size that the model knows.\n\n"
        "**Change:** the checkpoint (any of the SDXL family; for a turbo model 512 in *window_width* and "
        "*window_height*, few steps and cfg 1), the prompt, width and height.\n\n"
        "**Expect:** about five times the time of one 1024 x 1024 picture, and the memory of a few windows, whatever "
        "the width. Describe the whole scene and not an object: every window gets the prompt. For 2048 pixels of "
        "height and more use *Multi-Scale Sampler*.",
        "sd_xl_base_1.0.safetensors",
        SDXL,
        3072,
        1024,
        steps=30,
        cfg=6.0,
    ),
}


def make_files(server: Server, names: list[str]) -> None:
    """UI and API files."""
    with front_end(server) as editor:
        for name in names:
            editor.build(GRAPHS[name], uuid.uuid5(uuid.NAMESPACE_URL, name))
            workflow, prompt = editor.serialised()
            workflow.setdefault("extra", {})["ds"] = {"scale": 0.6, "offset": [160, 160]}
            write(WORKFLOWS / f"{name}.json", workflow)
            write(WORKFLOWS / "api" / f"{name}.json", prompt)


def write(path: Path, data: dict) -> None:
    """JSON as the front end exports it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def make_thumbnail(server: Server, name: str) -> None:
    """The middle of what the workflow paints, or its plan if it needs a checkpoint."""
    prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text())
    types = {found["class_type"]: key for key, found in prompt.items()}
    if "LoadDemoModel" in types:
        picture = painted(server, prompt, types["SaveImage"])
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((THUMBNAIL, THUMBNAIL), Image.LANCZOS)
    else:
        square = plan_thumbnail(server, prompt, types)
    square.save(WORKFLOWS / f"{name}.jpg", quality=88, optimize=True)


def painted(server: Server, prompt: dict, output: str) -> Image.Image:
    """Run a prompt and fetch the first picture of one of its nodes."""
    (image, *_) = server.run(prompt).outputs[output]["images"]
    return Image.open(io.BytesIO(server.get(f"/view?{urllib.parse.urlencode(image)}"))).convert("RGB")


def plan_thumbnail(server: Server, prompt: dict, types: dict) -> Image.Image:
    """The windows as Panorama Plan draws them, with the sizes below. The demo model stands in: it has the same grid."""
    canvas = prompt[types["PanoramaLatent"]]["inputs"]
    width, height = canvas["width"], canvas["height"]
    window = height  # both checkpoint workflows are one native window high
    prompt[types["CheckpointLoaderSimple"]] = {"class_type": "LoadDemoModel", "inputs": {}}
    prompt[types["PanoramaWindows"]]["inputs"] |= {"window_width": window, "window_height": window}
    del prompt[types["SaveImage"]]  # and so nothing is sampled
    drawn = painted(server, prompt, types["PanoramaPlan"])
    side = drawn.width - 2 * MARGIN
    view = drawn.crop((MARGIN, MARGIN, MARGIN + side, MARGIN + side * height // width))
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), drawn.getpixel((0, 0)))
    shown = THUMBNAIL - 2 * MARGIN
    view = view.resize((shown, shown * height // width), Image.LANCZOS)
    top = (THUMBNAIL - view.height) // 2
    square.paste(view, (MARGIN, top))
    text, lines = ImageDraw.Draw(square), (f"{width} x {height}", f"windows of {window} x {window}")
    for place, line in zip((top - 60, top + view.height + 30), lines, strict=True):
        text.text((THUMBNAIL // 2, place), line, "white", ImageFont.load_default(30), anchor="mt")
    return square


def main() -> None:
    """All workflows, or those named."""
    names = sys.argv[1:] or list(GRAPHS)
    with tempfile.TemporaryDirectory() as base, running_server(Path(base)) as server:
        make_files(server, names)
        for name in names:
            make_thumbnail(server, name)


if __name__ == "__main__":
    main()

"""What the graphs of the workflows are put together from."""

from collections.abc import Sequence

SD15 = "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
SDXL = "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"
CONTROL = "https://huggingface.co/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/"
SD15_FILE, SDXL_FILE = "v1-5-pruned-emaonly-fp16.safetensors", "sd_xl_base_1.0.safetensors"

SCENE = "wide panorama of a mountain lake at sunset, pine forest, snowy peaks, photograph, highly detailed"
UNWANTED = "text, watermark, frame, blurry"

WORDS = "The demo model knows few words: its help page lists them. "


def node(class_type: str, column: int, title: str = "", **inputs) -> dict:
    """One node of a graph for `FrontEnd.build`."""
    return {"class_type": class_type, "column": column, "title": title, "inputs": inputs}


def note(text: str, height: int) -> dict:
    """What to change and what to expect: the first thing in the first column."""
    return node("MarkdownNote", 0, "Read me", text=text) | {"size": [360, height], "color": "pale_blue"}


def second_row(graph: dict) -> dict:
    """The same nodes below the others."""
    return {key: found | {"row": 1} for key, found in graph.items()}


def text_encode(text: str, clip: str = "model", column: int = 1, title: str = "Prompt") -> dict:
    """One prompt."""
    colour = "red" if title.startswith("Negative") else "green"
    return node("CLIPTextEncode", column, title, clip=[clip, 1], text=text) | {"color": colour}


def prompts(positive: str, negative: str = "", clip: str = "model", column: int = 1) -> dict:
    """The two prompts."""
    return {
        "positive": text_encode(positive, clip, column),
        "negative": text_encode(negative, clip, column, "Negative prompt"),
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


def chained(guides: Sequence[dict], sample: dict) -> dict:
    """The nodes that guide the windows, one after the other from the third column on, and the sampler behind them."""
    graph, model = {}, "windows"
    for column, guide in enumerate(guides, start=2):
        key = guide["class_type"]
        graph[key] = guide | {"column": column, "inputs": guide["inputs"] | {"model": [model, 0]}}
        model = key
    last = {"column": 2 + len(guides), "inputs": sample["inputs"] | {"model": [model, 0]}}
    return graph | {"sampler": sample | last}


def finish(name: str, column: int, **decode) -> dict:
    """From the sampler to a file."""
    return {
        "decode": node("PanoramaDecode", column, samples=["sampler", 0], vae=["model", 2], **decode),
        "save": node("SaveImage", column + 1, images=["decode", 0], filename_prefix=name) | {"size": [560, 300]},
    }


def turned(name: str, column: int) -> dict:
    """Save Panorama of decoded pictures, with what viewers need to turn them."""
    options = {"filename_prefix": name, "projection": "equirectangular"}
    images = {"source": "images", "source.images": ["decode", 0]}
    return node("SavePanorama", column, **images, **options) | {"size": [560, 420]}


def demo(
    name: str,
    text: str,
    prompt: str,
    sample: dict,
    windows: dict | None = None,
    guides: Sequence[dict] = (),
    size: tuple[int, int] = (1024, 256),
    **decode,
) -> dict:
    """A panorama of `size` (width, height) pixels by the bundled model; `guides` act on its windows."""
    width, height = size
    return {
        "note": note(text, 360 if guides else 330),
        "model": node("LoadDemoModel", 0),
        **prompts(prompt),
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=width, height=height),
        "windows": node("PanoramaWindows", 1, model=["model", 0], **(windows or {})),
        **chained(guides, sample),
        **finish(name, 3 + len(guides), **decode),
    }


def checkpoint(
    name: str,
    text: str,
    file: str,
    url: str,
    size: tuple[int, int],
    sample: dict,
    windows: dict | None = None,
    guides: Sequence[dict] = (),
) -> dict:
    """A panorama of `size` (width, height) pixels by a checkpoint that people have, with the plan of its windows."""
    sampled = {"sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return panorama(
        name,
        note(text, 400 if guides else 360),
        {"model": checkpoint_loader(file, url)},
        prompts(SCENE, UNWANTED),
        size,
        sample | {"inputs": sample["inputs"] | sampled},
        windows,
        guides,
    )


def panorama(
    name: str,
    read_me: dict,
    loaders: dict,
    prompted: dict,
    size: tuple[int, int],
    sample: dict,
    windows: dict | None = None,
    guides: Sequence[dict] = (),
    **decode,
) -> dict:
    """A panorama of `size` (width, height) pixels by a model that people have, with the plan of its windows."""
    width, height = size
    chain, column = chained(guides, sample), 3 + len(guides)
    return {
        "note": read_me,
        **loaders,
        **prompted,
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=width, height=height),
        "windows": node("PanoramaWindows", 1, model=["model", 0], **(windows or {})),
        **chain,
        **finish(name, column, **decode),
        "plan": node("PanoramaPlan", column, model=chain["sampler"]["inputs"]["model"], samples=["latent", 0])
        | {"size": [340, 280]},
    }


def checkpoint_loader(file: str, url: str) -> dict:
    """The loader of a model in one file, which offers a download."""
    return node("CheckpointLoaderSimple", 0, ckpt_name=file) | models("checkpoints", (file, url))


def in_parts(graph: dict, loaders: dict, shift: dict | None = None) -> dict:
    """The same graph with a model of three files, and with the `shift` of its noise levels if it needs one."""
    apart, links = dict(loaders), {1: ["clip", 0], 2: ["vae", 0]}
    if shift:
        apart["shift"], links[0] = shift, ["shift", 0]
    for key, found in graph.items():
        if key in ("note", *apart):
            continue
        inputs = {
            name: links.get(value[1], value) if isinstance(value, list) and value[0] == "model" else value
            for name, value in found["inputs"].items()
        }
        # What needs the shifted model stands behind it. Prompts stay where they are.
        behind = shift is not None and (found["column"] > 1 or ["shift", 0] in inputs.values())
        apart[key] = found | {"inputs": inputs, "column": found["column"] + behind}
    return {"note": graph["note"]} | apart


def later(graph: dict, *keys: str) -> None:
    """Moves nodes by a column, for one more that they need."""
    for key in keys:
        graph[key]["column"] += 1


def distilled(graph: dict, guidance: float | None = None) -> dict:
    """The same graph for a model that needs no CFG: nothing stands for the negative prompt. Flux dev has `guidance`."""
    graph = graph | {"negative": node("ConditioningZeroOut", 2, "No negative prompt", conditioning=["positive", 0])}
    if guidance is not None:
        graph["guidance"] = node("FluxGuidance", 2, conditioning=["positive", 0], guidance=guidance)
        graph["sampler"]["inputs"]["positive"] = ["guidance", 0]
    later(graph, *({"sampler", "decode", "enlarge", "save", "plan"} & graph.keys()))
    return graph


def models(directory: str, *files: tuple[str, str]) -> dict:
    """What makes the front end offer a download of files that are not there, each with the URL of its folder."""
    return {
        "properties": {"models": [{"name": file, "url": f"{url}{file}", "directory": directory} for file, url in files]}
    }


def control_net(file: str, column: int, hint: str, strength: float) -> dict:
    """A ControlNet of SD 1.5 in the second column, and what it makes of the prompts with the image of `hint`."""
    return {
        "net": node("ControlNetLoader", 1, control_net_name=file) | models("controlnet", (file, CONTROL)),
        "control": node(
            "ControlNetApplyAdvanced",
            column,
            positive=["positive", 0],
            negative=["negative", 0],
            control_net=["net", 0],
            image=[hint, 0],
            strength=strength,
        ),
    }


def picture() -> dict:
    """The demo model, and a picture that it paints."""
    return {
        "model": node("LoadDemoModel", 0),
        **prompts("summer day lake mountains"),
        "small": node("PanoramaLatent", 2, "Canvas of the picture", model=["model", 0], width=256, height=256),
        "picture_sampler": sampler("MultiScaleSampler", 3, "Picture", latent_image=["small", 0]),
        "picture": node("VAEDecode", 4, samples=["picture_sampler", 0], vae=["model", 2]),
    }


def around_picture(name: str) -> dict:
    """A panorama around that picture, to a file of this name."""
    return {
        "windows": node("PanoramaWindows", 1, model=["model", 0]),
        # Without it the feather is a blend at every step, and both sides of it stay apart.
        "edge": node("DifferentialDiffusion", 2, model=["windows", 0]),
        "latent": node(
            "PanoramaLatent",
            2,
            "Picture on the canvas",
            model=["model", 0],
            width=1024,
            height=256,
            content="outpaint",
            **{"content.image": ["picture", 0], "content.vae": ["model", 2], "content.feather": 32},
        ),
        # Fresh noise at every step lets the surroundings find their way to the picture.
        "sampler": sampler(
            "MultiScaleSampler", 3, "Panorama", model=["edge", 0], seed=3, steps=30, sampler_name="euler_ancestral"
        ),
        **finish(name, 4),
    }

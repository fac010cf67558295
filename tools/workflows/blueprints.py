"""Whole jobs as single nodes: what is in them, and what of it a person sees."""

from dataclasses import dataclass

from .parts import SCENE, UNWANTED, node, text_encode

KSAMPLER = ("seed", "steps", "cfg", "sampler_name", "scheduler")
PICTURE = "sharp photograph, fine detail, natural texture"
SETTINGS = {
    "seed": 1,
    "control_after_generate": "fixed",
    "steps": 25,
    "cfg": 7.0,
    "sampler_name": "dpmpp_2m",
    "scheduler": "karras",
}
Inputs = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A job.

    Attributes:
        description: what the search of ComfyUI shows of it.
        graph: its nodes, as `FrontEnd.build` takes them. Inputs that come from outside are not linked.
        inputs: by its name on the node, which inputs of which nodes get it; sockets first, then fields.
        outputs: by its name on the node, the node within and the number of its output.
    """

    description: str
    graph: dict
    inputs: Inputs
    outputs: dict[str, tuple[str, int]]


def text(positive: str, negative: str) -> dict:
    """Two prompts whose CLIP comes from outside."""
    both = {
        "positive": text_encode(positive, column=0),
        "negative": text_encode(negative, column=0, title="Negative prompt"),
    }
    for found in both.values():
        del found["inputs"]["clip"]
    return both


def fields(key: str, *names: str) -> Inputs:
    """Fields of one node, under their own names."""
    return {name: [(key, name)] for name in names}


PROMPTS: Inputs = {"prompt": [("positive", "text")], "negative prompt": [("negative", "text")]}
CLIP: Inputs = {"clip": [("positive", "clip"), ("negative", "clip")]}


def panorama(description: str, size: tuple[int, int], wrap_x: bool = False) -> Blueprint:
    """From a prompt to a panorama of one layout and one look."""
    width, height = size
    links = {"positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0]}
    return Blueprint(
        description=description,
        graph={
            **text(SCENE, UNWANTED),
            "windows": node("PanoramaWindows", 0, wrap_x=wrap_x),
            "latent": node("PanoramaLatent", 1, width=width, height=height),
            "sync": node("SyncGuidance", 1, model=["windows", 0]),
            "sampler": node("MultiScaleSampler", 2, model=["sync", 0], **links, **SETTINGS),
            "decode": node("PanoramaDecode", 3, samples=["sampler", 0], wrap_x=wrap_x),
        },
        inputs={
            "model": [("windows", "model"), ("latent", "model")],
            **CLIP,
            "vae": [("decode", "vae")],
            **PROMPTS,
            **fields("latent", "width", "height"),
            "one look": [("sync", "weight")],
            **fields("sampler", *KSAMPLER),
        },
        outputs={"IMAGE": ("decode", 0)},
    )


def enlarge() -> Blueprint:
    """From a picture to a larger one."""
    links = {"positive": ["positive", 0], "negative": ["negative", 0]}
    settings = SETTINGS | {"cfg": 6.0, "upscale_by": 2.0, "windows": "moving"}
    return Blueprint(
        description="Makes a picture up to 8 times as wide and high, or refines it (upscale_by 1). The model paints "
        "all of it in windows, without seams, and the layout stays.",
        graph={**text(PICTURE, "blurry"), "enlarge": node("JointUpscale", 1, **links, **settings)},
        inputs={
            **fields("enlarge", "model"),
            **CLIP,
            **fields("enlarge", "vae", "image"),
            **PROMPTS,
            **fields("enlarge", "upscale_by", "structure", "denoise", "windows", *KSAMPLER),
        },
        outputs={"IMAGE": ("enlarge", 0)},
    )


def zoom() -> Blueprint:
    """From lines of text to a video."""
    settings = SETTINGS | {"steps": 50, "sampler_name": "euler_ancestral", "blending": "mixed"}
    path = {"easing": "ease in-out", "direction": "in and out", "filename_prefix": "video/zoom"}
    stack = {"images": ["sampler", 1], "zoom_factor": ["prompts", 2]}
    return Blueprint(
        description="An endless zoom as a video: a preset, or one prompt per line, the most zoomed out first. Each "
        "level is the centre of the one before.",
        graph={
            "prompts": node("ZoomPrompts", 0, preset="island to crater", negative=UNWANTED),
            "sampler": node("ZoomStackSampler", 1, zoom_prompts=["prompts", 0], **settings),
            "video": node("ZoomVideo", 2, **stack, **path),
        },
        inputs={
            **fields("sampler", "model"),
            **fields("prompts", "clip"),
            **fields("sampler", "vae"),
            **fields("prompts", "preset", "prompts", "negative"),
            **fields("sampler", "width", "height", *KSAMPLER),
            **fields("video", "seconds_per_level", "fps", "direction", "filename_prefix"),
        },
        outputs={"VIDEO": ("video", 0), "levels": ("sampler", 1)},
    )


BLUEPRINTS = {
    "Joint Panorama": panorama(
        "A panorama of any size from a prompt: one layout (Multi-Scale Diffusion) and one look (Sync Guidance).",
        (2048, 1024),
    ),
    "Joint 360 Panorama": panorama(
        "A panorama whose left and right edge meet, to look around in: one layout, one look, and no seam.",
        (2048, 1024),
        wrap_x=True,
    ),
    "Joint Enlarge": enlarge(),
    "Joint Zoom Video": zoom(),
}

"""Graphs in API format, small enough that a CPU runs many of them."""

from typing import Any

Graph = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """One node; the dot of `content.image` is written as two underscores."""
    return {"class_type": kind, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def sources() -> Graph:
    """One node of each kind of thing that a node of the pack may want."""
    return {
        "demo": node("LoadDemoModel"),
        "text": node("CLIPTextEncode", clip=["demo", 1], text="summer lake day"),
        "latent": node("PanoramaLatent", width=256, height=128, batch_size=1, model=["demo", 0]),
        "picture": node("EmptyImage", width=128, height=128, batch_size=2, color=0x336699),
        "zoom": node(
            "ZoomPrompts",
            clip=["demo", 1],
            preset="own prompts",
            prompts="far lake\nnear lake",
            negative="",
            zoom_factor=0,
        ),
    }


def painting(seed: int, steps: int = 2, width: int = 256) -> Graph:
    """A panorama of the bundled model, sampled and decoded."""
    ksampler = {
        "seed": seed,
        "steps": steps,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    windows = {"window_width": 0, "window_height": 0, "overlap": 0.5, "windows": "overlapping"}
    return {
        "demo": node("LoadDemoModel"),
        "text": node("CLIPTextEncode", clip=["demo", 1], text="summer lake day"),
        "windows": node("PanoramaWindows", model=["demo", 0], **windows, wrap_x=False, wrap_y=False),
        "latent": node("PanoramaLatent", width=width, height=128, batch_size=1, model=["demo", 0]),
        "sampled": node(
            "KSampler",
            model=["windows", 0],
            positive=["text", 0],
            negative=["text", 0],
            latent_image=["latent", 0],
            **ksampler,
        ),
    }


def shown(seed: int, steps: int = 2) -> Graph:
    """The same, decoded and saved."""
    decoded = node("PanoramaDecode", samples=["sampled", 0], vae=["demo", 2])
    return {**painting(seed, steps), "decoded": decoded, "save": node("PreviewImage", images=["decoded", 0])}


def written(seed: int = 1) -> Graph:
    """The same, written in every format that the pack has; most of the time goes into the writing."""
    latent = {"source": "latent", "source.samples": ["sampled", 0], "source.vae": ["demo", 2]}
    files = {
        ending: node("SavePanorama", **latent, filename_prefix=f"panorama_{ending}", format=ending, projection="none")
        for ending in ("png", "tif", "dzi")
    }
    path = {"zoom_factor": 2, "seconds_per_level": 1.0, "easing": "linear", "direction": "in", "crf": 30}
    videos = {
        ending: node(
            "ZoomVideo", images=["levels", 0], fps=30.0, format=ending, filename_prefix=f"zoom_{ending}", **path
        )
        for ending in ("mp4", "webm")
    }
    levels = node("EmptyImage", width=256, height=256, batch_size=3, color=0x336699)
    return {**painting(seed, width=1024), "levels": levels, **files, **videos}

"""Zooms: from prompts, into a photograph, and with a checkpoint."""

from typing import Any

from .parts import SDXL, SDXL_FILE, WORDS, checkpoint_loader, node, note, prompts, second_row

DISTANCES = ("far", "wide", "near", "close", "detail", "fine", "macro", "micro")
MEADOW = tuple(f"spring dawn {distance} meadow" for distance in DISTANCES)
INTO_THE_PICTURE = ("summer day far sky mountains lake forest", "summer day wide lake forest", "summer day near forest")


def zoom_prompts(column: int, **inputs) -> dict:
    """What each level shows."""
    room = {"size": [420, 460]}  # for the lines
    return node("ZoomPrompts", column, clip=["model", 1], **inputs) | room


def zoom_sampler(column: int, **inputs) -> dict:
    """Zoom Stack Sampler with the demo model's settings."""
    shared = {
        "model": ["model", 0],
        "zoom_prompts": ["prompts", 0],
        "vae": ["model", 2],
        "seed": 1,
        "control_after_generate": "fixed",
        "steps": 30,
        "cfg": 2.5,
        "sampler_name": "euler_ancestral",
        "scheduler": "karras",
        "blending": "pixel",
    }
    return node("ZoomStackSampler", column, **(shared | inputs)) | {"size": [330, 860]}


def shown(name: str, column: int, **video) -> dict:
    """The zoom as a video, and to look around in; both with the factor and the names of Zoom Prompts."""
    zoom: dict[str, Any] = {"images": ["sampler", 1], "zoom_factor": ["prompts", 2]}
    options = {"easing": "ease in-out", "direction": "in and out", "filename_prefix": f"video/{name}"}
    return {
        "video": node("ZoomVideo", column, **zoom, **(options | video)) | {"size": [330, 700]},
        "explore": node("ExploreZoomStack", column + 1, **zoom, prompts=["prompts", 1]) | {"size": [560, 660]},
    }


def into_a_photograph() -> dict:
    """A picture by the demo model stands in for a photograph."""
    name = "zoom_photograph_demo"
    picture = {
        "model": ["model", 0],
        "seed": 4,
        "control_after_generate": "fixed",
        "steps": 20,
        "cfg": 2.5,
        "sampler_name": "euler",
        "scheduler": "karras",
        "positive": ["positive", 0],
        "negative": ["negative", 0],
        "latent_image": ["small", 0],
        "denoise": 1.0,
    }
    return {
        "note": note(
            "## A zoom into a photograph\n\n"
            "The outermost level must show the photograph. At every step **Zoom Stack Sampler** fits the levels to it. "
            "The nearer levels add finer details. Here the upper row paints the photograph.\n\n"
            "**Change:** *Load Image* in place of the upper row, for your own photograph (and a checkpoint in place of "
            "the demo model). The first line of the prompts should describe the photograph, the others its middle. "
            f"Keep *blending* at *pixel*: as a latent, an enlarged photograph shows a grid. {WORDS}\n\n"
            "**Expect:** first the photograph, then details in its middle that the photograph does not have.",
            400,
        ),
        "model": node("LoadDemoModel", 0),
        **prompts(INTO_THE_PICTURE[0]),
        "small": node("PanoramaLatent", 1, "Size of the picture", model=["model", 0], width=128, height=128),
        "painter": node("KSampler", 2, "Picture", **picture) | {"size": [330, 500]},
        "photograph": node("VAEDecode", 3, samples=["painter", 0], vae=["model", 2]),
        "look": node("PreviewImage", 4, "The photograph", images=["photograph", 0]) | {"size": [330, 360]},
        **second_row(
            {
                "prompts": zoom_prompts(1, prompts="\n".join(INTO_THE_PICTURE)),
                "sampler": zoom_sampler(4, photograph=["photograph", 0]),
                **shown(name, 5),
            }
        ),
    }


def sdxl() -> dict:
    """Seven levels of a preset."""
    name = "zoom_sdxl"
    return {
        "note": note(
            "## A zoom with SDXL\n\n"
            "Seven prompts of a *preset*, from an island in the ocean to its crater lake. They make seven pictures of "
            "1024 x 1024 pixels, sampled together (Generative Powers of Ten). Each is the centre of the one "
            "before.\n\n"
            "**Change:** the checkpoint; the *preset*, or *own prompts* with one prompt per line (the help of **Zoom "
            "Prompts** says how to write them). *blending*: *pixel* goes through the VAE at every step, as in the "
            "paper; *mixed* does so in every fourth step, for a quarter of the cost. *steps*: the paper has 256.\n\n"
            "**Expect:** a video, and an explorer that you zoom with the wheel. It takes the time of seven pictures, "
            "and some time for the VAE. If a level ignores its prompt, look at the prompts of its neighbours.",
            440,
        ),
        "model": checkpoint_loader(SDXL_FILE, SDXL),
        "prompts": zoom_prompts(1, preset="island to crater", negative="text, watermark, frame, border, blurry"),
        "sampler": zoom_sampler(2, steps=50, cfg=7.0, blending="mixed"),
        **shown(name, 3),
    }


GRAPHS = {
    "zoom_demo": {
        "note": note(
            "## A zoom without a checkpoint\n\n"
            "Eight prompts, one per line, from far to near. They make eight pictures, sampled together (Generative "
            "Powers of Ten). Each is the centre of the one before. **Zoom Video** saves one smooth zoom through "
            "them. In **Explore Zoom Stack**, click into the picture and turn the wheel.\n\n"
            "**Change:** the lines (two or more); *zoom_factor* in **Zoom Prompts**; the seed; *blending* (*latent* "
            f"needs no VAE, but borders of levels may show). {WORDS}\n\n"
            "**Expect:** grass in front of a morning sky comes nearer without a jump, down to its blades and most "
            "often to a pink flower. The tiny model knows the scale from the eight words for distance. For a real "
            "model, describe what is seen on each level.",
            420,
        ),
        "model": node("LoadDemoModel", 0),
        "prompts": zoom_prompts(1, prompts="\n".join(MEADOW)),
        "sampler": zoom_sampler(2, seed=3, cfg=3.0, blending="mixed", pixel_every=30),
        **shown("zoom_demo", 3),
    },
    "zoom_photograph_demo": into_a_photograph(),
    "zoom_sdxl": sdxl(),
}

"""Workflows in which a picture is made larger."""

from .parts import WORDS, demo, node, prompts, sampler

SMALL = (512, 128)

TEXT = (
    "## A picture twice as large\n\n"
    "The upper row paints a small panorama. **Joint Upscale** makes it twice as wide and high. It paints all windows "
    "of the larger picture together from pure noise (*denoise* 1). *structure* keeps the layout.\n\n"
    "**Change:** the picture (any *Load Image*, with a prompt that says what it shows); *upscale_by*; *structure* 0, "
    f"which shows what happens without it; *windows* moving, which is faster. {WORDS}\n\n"
    "**Expect:** the same hills and trees, with the texture that the tiny model knows for closer views. It paints "
    "flowers and crests of its own."
)


def upscale() -> dict:
    """A small panorama, and the same enlarged."""
    graph = demo("upscale_demo", TEXT, "summer day sky mountains forest meadow", sampler("KSampler", 2), size=SMALL)
    del graph["save"]
    shared = {"model": ["model", 0], "vae": ["model", 2], "image": ["decode", 0]}
    settings = {
        "upscale_by": 2.0,
        "seed": 1,
        "control_after_generate": "fixed",
        "steps": 20,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "karras",
        "denoise": 1.0,
        "structure": 1.0,
        "windows": "overlapping",
    }
    closer = {f"closer_{key}": found for key, found in prompts("near summer day sky mountains forest meadow").items()}
    return graph | {
        **{key: found | {"column": 3, "row": 1} for key, found in closer.items()},
        "enlarge": node(
            "JointUpscale", 4, **shared, positive=["closer_positive", 0], negative=["closer_negative", 0], **settings
        )
        | {"size": [320, 640]},
        "save": node("SaveImage", 5, images=["enlarge", 0], filename_prefix="upscale_demo") | {"size": [560, 300]},
    }


GRAPHS = {"upscale_demo": upscale()}

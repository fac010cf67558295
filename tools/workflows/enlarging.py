"""Workflows in which a picture is made larger."""

from typing import Any

from .parts import (
    SD15,
    SD15_FILE,
    SDXL,
    SDXL_FILE,
    WORDS,
    around_picture,
    checkpoint_loader,
    control_net,
    demo,
    finish,
    node,
    note,
    picture,
    prompts,
    sampler,
    second_row,
)

SMALL = (512, 128)
TILE_FILE = "control_v11f1e_sd15_tile_fp16.safetensors"
FLUX, FLUX_FILE = "https://huggingface.co/Comfy-Org/flux1-dev/resolve/main/", "flux1-dev-fp8.safetensors"

DEMO_SETTINGS = {"steps": 20, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras"}
SD_SETTINGS = {"steps": 25, "cfg": 6.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
PHOTOGRAPH = "sharp photograph, fine detail, natural texture"
PICTURE = (
    "**Change:** the picture in *Load Image*, and the prompt: say what the picture shows, not only that it is sharp. "
)


def upscaler(column: int, image: list, positive: str = "positive", negative: str = "negative", **inputs) -> dict:
    """Joint Upscale of an image, from pure noise if nothing else is said."""
    shared = {
        "model": ["model", 0],
        "vae": ["model", 2],
        "image": image,
        "positive": [positive, 0],
        "negative": [negative, 0],
        "upscale_by": 2.0,
        "seed": 1,
        "control_after_generate": "fixed",
        "denoise": 1.0,
        "structure": 1.0,
        "windows": "overlapping",
    }
    return node("JointUpscale", column, **(shared | inputs)) | {"size": [320, 640]}


def saved(name: str, column: int, image: list) -> dict:
    """Save Image."""
    return node("SaveImage", column, images=image, filename_prefix=name) | {"size": [560, 400]}


def upscale() -> dict:
    """A small panorama, and the same enlarged."""
    text = (
        "## A picture twice as large\n\n"
        "The upper row paints a small panorama. **Joint Upscale** makes it twice as wide and high. It paints all "
        "windows of the larger picture together from pure noise (*denoise* 1). *structure* keeps the picture.\n\n"
        "**Change:** the picture (any *Load Image*, with a prompt that says what it shows); *upscale_by*; *structure* "
        f"0, which shows what happens without it; *windows* moving, which is faster. {WORDS}\n\n"
        "**Expect:** the same hills and trees with finer edges. The tiny model adds little more."
    )
    graph = demo("upscale_demo", text, "summer day sky mountains forest meadow", sampler("KSampler", 2), size=SMALL)
    closer = {f"closer_{key}": found for key, found in prompts("near summer day sky mountains forest meadow").items()}
    return graph | {
        **{key: found | {"column": 3, "row": 1} for key, found in closer.items()},
        "enlarge": upscaler(4, ["decode", 0], "closer_positive", "closer_negative", **DEMO_SETTINGS),
        "save": saved("upscale_demo", 5, ["enlarge", 0]),
    }


def panorama() -> dict:
    """A picture, a panorama around it, and that enlarged."""
    name = "panorama_upscale_demo"
    text = (
        "## From a picture to a large panorama\n\n"
        "The upper row paints a picture. The middle row paints a panorama around it: **Panorama Latent** puts the "
        "picture on the canvas, and the sampler fills the rest. **Joint Upscale** makes the panorama twice as "
        "large.\n\n"
        "**Change:** *Load Image* in place of the upper row, for your own picture; *upscale_by*; the prompts. "
        f"{WORDS}\n\n"
        "**Expect:** 2048 x 512 pixels, with the picture unchanged in the middle but for its size."
    )
    around = around_picture(name)
    del around["save"]
    closer = {f"closer_{key}": found for key, found in prompts("near summer day lake mountains").items()}
    return {
        "note": note(text, 400),
        **picture(),
        **second_row(around),
        **{key: found | {"column": 1, "row": 2} for key, found in closer.items()},
        "enlarge": upscaler(
            2, ["decode", 0], "closer_positive", "closer_negative", **(DEMO_SETTINGS | {"windows": "moving"})
        )
        | {"row": 2},
        "save": saved(name, 3, ["enlarge", 0]) | {"row": 2},
    }


def from_file(name: str, text: str, loader: dict, words: tuple[str, str] = (PHOTOGRAPH, "blurry"), **inputs) -> dict:
    """A picture from a file, enlarged by a checkpoint that people have."""
    return {
        "note": note(text, 420),
        "model": loader,
        "picture": node("LoadImage", 0, image="example.png") | {"size": [300, 340]},
        **prompts(*words),
        "enlarge": upscaler(2, ["picture", 0], **(SD_SETTINGS | inputs)),
        "save": saved(name, 3, ["enlarge", 0]),
    }


def tile() -> dict:
    """SD 1.5 and its ControlNet for tiles."""
    text = (
        "## Enlarge with Stable Diffusion 1.5 and ControlNet Tile\n\n"
        "**Joint Upscale** makes the picture twice as large. ControlNet Tile tells every window what it shows; each "
        "window gets its own part of the picture. *structure* keeps the layout from step to step.\n\n"
        f"{PICTURE}Lower *strength* of the ControlNet for more invention.\n\n"
        "**Expect:** no seams and no repeated subjects at any *denoise*."
    )
    graph = from_file("upscale_tile_sd15", text, checkpoint_loader(SD15_FILE, SD15))
    graph |= control_net(TILE_FILE, 2, "picture", 0.6)
    graph["enlarge"]["column"], graph["save"]["column"] = 3, 4
    graph["enlarge"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    return graph


def sdxl() -> dict:
    """SDXL alone."""
    text = (
        "## Enlarge with SDXL\n\n"
        "**Joint Upscale** makes the picture twice as large, from pure noise. *structure* keeps it. For an upscale "
        "model, connect *Load Upscale Model* to *upscale_model*.\n\n"
        f"{PICTURE}For pictures below 1000 pixels use *upscale_by* 4.\n\n"
        "**Expect:** the picture, with the details of a larger one. Lower *structure* if faults of the picture shall "
        "go, or *denoise* if details shall stay."
    )
    return from_file("upscale_sdxl", text, checkpoint_loader(SDXL_FILE, SDXL))


def flux() -> dict:
    """Flux, which has guidance of its own in place of CFG."""
    text = (
        "## Enlarge with Flux\n\n"
        "**Joint Upscale** makes the picture twice as large. Flux is guided by **FluxGuidance**, so *cfg* is 1 and the "
        "negative prompt has no effect.\n\n"
        f"{PICTURE}\n\n"
        "**Expect:** about four times the time of one picture of 1024 x 1024 with *windows* moving, and nine times "
        "with overlapping windows."
    )
    graph = from_file(
        "upscale_flux",
        text,
        checkpoint_loader(FLUX_FILE, FLUX),
        (PHOTOGRAPH, ""),
        steps=20,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        windows="moving",
    )
    graph["guidance"] = node("FluxGuidance", 2, conditioning=["positive", 0], guidance=3.5)
    graph["enlarge"]["column"], graph["save"]["column"] = 3, 4
    graph["enlarge"]["inputs"] |= {"positive": ["guidance", 0]}
    return graph


def refine() -> dict:
    """At its own size."""
    text = (
        "## Refine a picture at its size\n\n"
        "**Joint Upscale** with *upscale_by* 1 paints the picture anew at its own size, in windows. *denoise* says how "
        "much of it, *structure* how closely its layout is kept.\n\n"
        f"{PICTURE}\n\n"
        "**Expect:** new fine details in the same place. What is larger than two pixels stays at *structure* 1; lower "
        "it for larger changes."
    )
    loader = checkpoint_loader(SDXL_FILE, SDXL)
    return from_file("refine_sdxl", text, loader, upscale_by=1.0, denoise=0.6, structure=0.7)


def texture(name: str, read_me: dict, loader: dict, words: tuple[str, str], side: int, larger: float, **inputs) -> dict:
    """A picture of `side` pixels that meets itself on all four sides, and the same `larger` times as large."""
    wrap: dict[str, Any] = {"wrap_x": True, "wrap_y": True}
    graph = {
        "note": read_me,
        "model": loader,
        **prompts(*words),
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=side, height=side),
        "windows": node("PanoramaWindows", 1, model=["model", 0], **wrap),
        "sampler": sampler("KSampler", 2, **inputs),
        **finish(name, 3, **wrap),
    }
    enlarge = upscaler(4, ["decode", 0], **inputs, **wrap, upscale_by=larger, windows="moving")
    return graph | {"enlarge": enlarge, "save": saved(name, 5, ["enlarge", 0])}


GRAPHS = {
    "upscale_demo": upscale(),
    "panorama_upscale_demo": panorama(),
    "upscale_tile_sd15": tile(),
    "upscale_sdxl": sdxl(),
    "upscale_flux": flux(),
    "refine_sdxl": refine(),
    "texture_sd15": texture(
        "texture_sd15",
        note(
            "## A seamless texture of 2048 x 2048\n\n"
            "The first sampler paints 512 x 512 pixels whose edges meet (*wrap_x*, *wrap_y* of **Panorama Windows**). "
            "**Joint Upscale** makes them four times as large, and their edges still meet.\n\n"
            "**Change:** the prompt: name one material, seen from above.\n\n"
            "**Expect:** a texture that can be laid side by side in both directions.",
            380,
        ),
        checkpoint_loader(SD15_FILE, SD15),
        ("mossy cobblestones, texture, top view, evenly lit", "border, frame, text, perspective"),
        512,
        4.0,
        **SD_SETTINGS,
    ),
}

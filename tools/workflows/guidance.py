"""One look along a panorama, fewer windows, prompts for its parts, ControlNet, and all of it together."""

from .parts import (
    SD15,
    SD15_FILE,
    SDXL,
    SDXL_FILE,
    WORDS,
    checkpoint,
    control_net,
    demo,
    finish,
    later,
    node,
    note,
    prompts,
    sampler,
    text_encode,
)

FREE = "far sky mountains forest meadow"  # no season and no hour: every window may have its own
ROW = (1024, 128)  # one window high
CONTROL_FILE = "control_v11p_sd15_canny_fp16.safetensors"


def sync(**inputs) -> dict:
    """Sync Guidance, in the column that `chained` gives it."""
    return node("SyncGuidance", 0, **inputs)


def twin(**inputs) -> dict:
    """Twin Crop Fusion, in the column that `chained` gives it."""
    return node("TwinCropFusion", 0, **inputs)


def layout() -> dict:
    """Three prompts, each in its part of the canvas; the parts overlap where one thing becomes the other."""
    parts = {
        "left": ("wide lake", 0, 448),
        "middle": ("far sky mountains lake", 320, 384),
        "right": ("wide forest", 576, 448),
    }
    width, height = ROW
    graph = {
        "note": note(
            "## Prompts for parts of a panorama\n\n"
            "**Conditioning (Set Area)** gives each prompt its part of the canvas. A prompt runs only in the windows "
            "that its area touches. No prompt names a season or an hour. **Sync Guidance** gives all parts the same."
            "\n\n"
            "**Change:** the prompts and their areas (neighbours should overlap by about a window); masks in place of "
            "areas (*Conditioning (Set Mask)*); the seed; *weight* 0, to see each part with colours of its own. "
            f"{WORDS}\n\n"
            "**Expect:** water on the left, mountains in the middle, trees on the right, in the same light. The tiny "
            "model also paints things that its prompts do not name.",
            420,
        ),
        "model": node("LoadDemoModel", 0),
        "latent": node("PanoramaLatent", 3, model=["model", 0], width=width, height=height),
        "windows": node("PanoramaWindows", 2, model=["model", 0]),
        "SyncGuidance": node("SyncGuidance", 3, model=["windows", 0]),
        "negative": text_encode("", title="Negative prompt", column=3),
    }
    for name, (text, left, wide) in parts.items():
        graph[f"{name}_text"] = text_encode(text, column=1, title=name.capitalize())
        graph[name] = node(
            "ConditioningSetArea", 2, conditioning=[f"{name}_text", 0], width=wide, height=height, x=left, y=0
        )
    graph["both"] = node("ConditioningCombine", 3, conditioning_1=["left", 0], conditioning_2=["middle", 0])
    graph["positive"] = node("ConditioningCombine", 4, conditioning_1=["both", 0], conditioning_2=["right", 0])
    graph["sampler"] = sampler("KSampler", 5, model=["SyncGuidance", 0], seed=2, cfg=3.0)
    return graph | finish("panorama_layout_demo", 6)


def controlled() -> dict:
    """`checkpoint` with edges of a picture as the hint of a ControlNet."""
    size = (2048, 512)
    graph = checkpoint(
        "panorama_controlnet_sd15",
        "## Panorama along the lines of a picture\n\n"
        "The edges of a picture, as wide as the canvas, steer a **ControlNet**. Every window gets its own part of "
        "them. **Sync Guidance** gives all windows one palette and one style, also the windows without any edges "
        "(section 5.2 of the SyncDiffusion paper).\n\n"
        "**Change:** the picture in *Load Image*, best a wide one or a sketch (it is cropped to the canvas); "
        "*low_threshold* and *high_threshold*, for more or fewer lines; *strength* of the ControlNet. For another kind "
        "of hint, change the ControlNet and the node that makes the hint. Every ControlNet for the checkpoint "
        "works.\n\n"
        "**Expect:** the scene of the prompt along the lines of the picture. *loss* `latent` in Sync Guidance needs no "
        "more files. `lpips`, as in the paper, needs two; its help page names them.",
        SD15_FILE,
        SD15,
        size,
        sampler("KSampler", 2, steps=25, cfg=7.0),
        guides=[sync()],
    )
    width, height = size
    graph["note"]["size"] = [360, 460]
    graph |= {
        "picture": node("LoadImage", 0, image="example.png") | {"size": [300, 340]},
        "wide": node(
            "ImageScale", 1, image=["picture", 0], upscale_method="lanczos", width=width, height=height, crop="center"
        ),
        "hint": node("Canny", 2, image=["wide", 0]),
        "look": node("PreviewImage", 3, "The hint", images=["hint", 0]) | {"size": [300, 260]},
    }
    graph |= control_net(CONTROL_FILE, 3, "hint", 0.8)
    # The ControlNet needs its hint, and the sampler the ControlNet: all that follows moves by a column.
    later(graph, "sampler", "decode", "save", "plan")
    graph["sampler"]["inputs"] |= {"positive": ["control", 0], "negative": ["control", 1]}
    return graph


def twins() -> dict:
    """The pair of TwinDiffusion's single mode, next to each other."""
    shown = {
        "first": node("ImageFromBatch", 4, "First picture", image=["decode", 0], batch_index=0, length=1),
        "second": node("ImageFromBatch", 4, "Second picture", image=["decode", 0], batch_index=1, length=1),
        "twin": node("ImageFromBatch", 4, "Its twin", image=["decode", 0], batch_index=2, length=1),
        "room": node("ImagePadForOutpaint", 5, image=["first", 0], left=0, top=0, right=64, bottom=0, feathering=0),
    }
    for name in ("second", "twin"):
        shown[f"beside_{name}"] = node(
            "ImageCompositeMasked", 6, destination=["room", 0], source=[name, 0], x=64, y=0, resize_source=False
        )
    both = node(
        "ImageStitch",
        7,
        image1=["beside_second", 0],
        image2=["beside_twin", 0],
        direction="down",
        match_image_size=False,
        spacing_width=8,
    )
    return {
        "note": note(
            "## Two pictures that fit\n\n"
            "**Twin Images** paints a first picture, a second one that overlaps its right half, and the second once "
            "more: the twin. In the first 70 % of the steps the twin is aligned with the first picture (Crop Fusion). "
            "The saved image shows, above, the second picture laid over the first; below, the twin laid over the "
            "first.\n\n"
            "**Change:** *lambda* (small: the twin copies the first; large: it is the second), *stop*, the prompt, the "
            "seed, the model. With another *overlap* or size, change also *right* in the padding and *x* in both "
            f"composites to (1 - overlap) x width. {WORDS}\n\n"
            "**Expect:** an edge in the upper pair, and a weaker edge in the lower pair: over eight seeds, less than a "
            "third of it. A larger *stop* makes it weaker still, but the twin may break in its middle. **Twin Crop "
            "Fusion** does the same to all neighbours of a panorama.",
            460,
        ),
        "model": node("LoadDemoModel", 0),
        **prompts(FREE),
        "twins": node(
            "TwinImages",
            2,
            model=["model", 0],
            seed=5,
            control_after_generate="fixed",
            steps=20,
            cfg=2.0,
            sampler_name="euler",
            scheduler="karras",
            positive=["positive", 0],
            negative=["negative", 0],
            stop=0.7,
        )
        | {"size": [300, 520]},
        "decode": node("VAEDecode", 3, samples=["twins", 0], vae=["model", 2]),
        **shown,
        "both": both,
        "save": node("SaveImage", 8, images=["both", 0], filename_prefix="twin_images_demo") | {"size": [420, 340]},
    }


GRAPHS = {
    "panorama_sync_demo": demo(
        "panorama_sync_demo",
        "## One palette from end to end\n\n"
        "The prompt names no season and no hour, so every window of a long panorama would choose its own. **Sync "
        "Guidance** pulls all windows towards the palette and style of the middle window (SyncDiffusion).\n\n"
        "**Change:** *weight* (0: every window for itself; 20: the value of the paper), *anchor_x* (which window the "
        f"others follow), the seed (for another palette), the prompt. {WORDS}\n\n"
        "**Expect:** one season and one hour from the left to the right edge, in the same time as without Sync "
        "Guidance.",
        FREE,
        sampler("KSampler", 2, seed=3),
        guides=[sync()],
        size=ROW,
    ),
    "panorama_360_sync_demo": demo(
        "panorama_360_sync_demo",
        "## 360 degrees with one palette\n\n"
        "With *wrap_x* in **Panorama Windows**, windows also lie across the left and the right edge. **Sync Guidance** "
        "treats them like all others, so palette and style stay the same all around.\n\n"
        "**Change:** the seed; the prompt; *weight* 0, to see every window choose for itself. Keep *wrap_x* the same "
        "in **Panorama Windows** and **Panorama Decode**.\n\n"
        "**Expect:** two copies side by side have no seam and no change of light.",
        FREE,
        sampler("KSampler", 2, seed=4),
        {"wrap_x": True},
        [sync()],
        ROW,
        wrap_x=True,
    ),
    "panorama_twin_demo": demo(
        "panorama_twin_demo",
        "## Half of the windows\n\n"
        "*overlap* is 0 in **Panorama Windows**: eight windows side by side in place of fifteen. **Twin Crop Fusion** "
        "moves them from step to step (Cross Sampling), so that their borders are at other places in each step "
        "(TwinDiffusion).\n\n"
        "**Change:** *cross_sampling* off, to see eight separate pictures; *overlap* 0.25, which gives a better "
        "picture with eleven windows: its seams are hidden by the weights of Panorama Windows alone. "
        f"{WORDS}\n\n"
        "**Expect:** one panorama in about the time of eight pictures. The first and the last window cannot move, so "
        "their inner borders show most.",
        "autumn dusk far sky mountains forest lake",
        sampler("KSampler", 2),
        {"overlap": 0.0},
        [twin()],
        ROW,
    ),
    "panorama_layout_demo": layout(),
    "panorama_full_demo": demo(
        "panorama_full_demo",
        "## Everything at once\n\n"
        "One layout (**Multi-Scale Sampler**), one palette (**Sync Guidance**), and windows that are aligned and move "
        "(**Twin Crop Fusion**). The prompt names no season and no hour. The order of the nodes does not matter.\n\n"
        "**Change:** *strength* of the sampler or *weight* of Sync Guidance to 0, to see the panorama without it; the "
        "seed; the prompt.\n\n"
        "**Expect:** sky above mountains above forest above meadow, in one light. It takes about a tenth more time "
        "than Panorama Windows alone.",
        FREE,
        sampler("MultiScaleSampler", 2, seed=5),
        guides=[sync(), twin()],
        size=(768, 256),
    ),
    "twin_images_demo": twins(),
    "panorama_sync_sd15": checkpoint(
        "panorama_sync_sd15",
        "## One palette, with Stable Diffusion 1.5\n\n"
        "2048 x 512 pixels, through windows of 512 x 512. **Sync Guidance** pulls all windows towards the palette and "
        "style of the middle window.\n\n"
        "**Change:** the checkpoint, the prompt, the width. *weight*: 20 is the value of the paper; lower it if all "
        "looks alike and dull. *loss* `lpips` or `style` compares decoded pictures: connect the VAE, and put the files "
        "that the help page names into models/perceptual.\n\n"
        "**Expect:** one palette and one light from end to end, in the time of *panorama_sd15*. Mute *Save Image* "
        "(Ctrl+M) and queue: then you get only the **plan**.",
        SD15_FILE,
        SD15,
        (2048, 512),
        sampler("KSampler", 2, steps=25, cfg=7.0),
        guides=[sync()],
    ),
    "panorama_controlnet_sd15": controlled(),
    "panorama_full_sdxl": checkpoint(
        "panorama_full_sdxl",
        "## Everything at once, with SDXL\n\n"
        "4096 x 2048 pixels with one layout (**Multi-Scale Sampler**), one palette (**Sync Guidance**), and fewer "
        "windows, which move (**Twin Crop Fusion** with *overlap* 0.25).\n\n"
        "**Change:** the checkpoint, the prompt, width and height; *strength* of the sampler or *weight* of Sync "
        "Guidance to 0, to see the panorama without it.\n\n"
        "**Expect:** a coherent picture, two windows high. Mute *Save Image* (Ctrl+M) and queue: then the **plan** "
        "says how many views the model denoises in a step.",
        SDXL_FILE,
        SDXL,
        (4096, 2048),
        sampler("MultiScaleSampler", 2, steps=30, cfg=6.0),
        {"overlap": 0.25},
        [sync(), twin()],
    ),
}

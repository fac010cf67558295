"""Windows, one layout for all of them, edges that meet, and a picture that grows."""

from .parts import (
    SD15,
    SD15_FILE,
    SDXL,
    SDXL_FILE,
    WORDS,
    around_picture,
    checkpoint,
    demo,
    finish,
    node,
    note,
    picture,
    sampler,
    second_row,
    text_encode,
    turned,
)

GRAPHS = {
    "panorama_demo": demo(
        "panorama_demo",
        "## Panorama without a checkpoint\n\n"
        "The demo model was trained on 128 x 128 pixels. With **Panorama Windows** it paints 1024 x 256. It sees the "
        "canvas through overlapping windows, and their predictions are fused at every step (MultiDiffusion).\n\n"
        f"**Change:** the prompt, the seed, width and height (multiples of 8), the overlap. {WORDS}\n\n"
        "**Expect:** no seams. But each window has a layout of its own, so shores and ridges break off. "
        "*panorama_msd_demo* repairs that.",
        "autumn dusk lake mountains",
        sampler("KSampler", 2),
    ),
    "panorama_msd_demo": demo(
        "panorama_msd_demo",
        "## Panorama with one layout\n\n"
        "At each step **Multi-Scale Sampler** first denoises the canvas at half the size, where a window sees a whole "
        "scene. Then it corrects the canvas of full size, so that it shows the same layout.\n\n"
        "**Change:** *strength* (0 is *panorama_demo*), the prompt, the seed. *scales* 0 uses as many sizes as suit "
        "the canvas.\n\n"
        "**Expect:** one scene, with the sky above and the water below from end to end. It takes about a tenth more "
        "time than *panorama_demo*. The canvas should be higher than a window: a single row has no layout to correct.",
        "autumn dusk lake mountains",
        sampler("MultiScaleSampler", 2),
    ),
    "panorama_moving_demo": demo(
        "panorama_moving_demo",
        "## One layout in less time\n\n"
        "*windows* is `moving` in **Panorama Windows**: windows lie side by side and are at other places in every "
        "step. So the model sees every place about once per step (SpotDiffusion). **Multi-Scale Sampler** gives the "
        "layout.\n\n"
        "**Change:** *windows* to `overlapping` to compare (*panorama_msd_demo*), the prompt, the seed, the steps.\n\n"
        "**Expect:** the layout of *panorama_msd_demo* in about two thirds of the time of *panorama_demo*. The borders "
        "of the windows of the last steps may show faintly.",
        "autumn dusk lake mountains",
        sampler("MultiScaleSampler", 2),
        {"windows": "moving"},
    ),
    "panorama_360_demo": demo(
        "panorama_360_demo",
        "## 360 degrees, to look around in\n\n"
        "With *wrap_x* in **Panorama Windows** and **Panorama Decode**, the left and the right edge meet. The picture "
        "is half as high as wide, as viewers want it: sky above, ground below, the horizon between. **Save Panorama** "
        "with *projection* equirectangular writes into the file what viewers need to turn it.\n\n"
        "**Change:** the prompt; the seed; *windows* overlapping, which is finer and slower. To look around in the "
        "graph, add a node of a viewer pack, such as *Preview 360 Panorama*, behind *Panorama Decode*.\n\n"
        "**Expect:** a landscape all around you, without a seam: **Panorama Metrics** finds none where the edges meet "
        "(wrap error about 1). The model has learned no spheres, so straight up and straight down the picture is "
        f"pinched. *panorama_360_qwen_image* has a LoRA for that. {WORDS}",
        "summer dawn far sky mountains forest lake",
        sampler("MultiScaleSampler", 2, seed=3),
        {"wrap_x": True, "windows": "moving"},
        size=(1024, 512),
        wrap_x=True,
    )
    | {
        "save": turned("panorama_360_demo", 4),
        "metrics": node("PanoramaMetrics", 4, images=["decode", 0], model=["windows", 0]) | {"size": [560, 420]},
    },
    "panorama_360_seasons_demo": {
        "note": note(
            "## Four prompts along a panorama\n\n"
            "**Panorama Prompts** puts one prompt per line side by side, with soft borders as wide as a window. What "
            "is in *everywhere* is put before each of them. The edges meet (*wrap_x* in **Panorama Windows**), so "
            "winter passes into spring. **Panorama Plan** shows where each prompt reaches.\n\n"
            "**Change:** the lines (any number of them); *everywhere*; *border*; *rows*, for a grid of prompts on a "
            "higher canvas (with *Multi-Scale Sampler*). Mute *Save Image* (Ctrl+M) and queue: then you get only the "
            f"**plan**. {WORDS}\n\n"
            "**Expect:** one landscape in which the seasons pass, all around. A prompt runs only in the windows that "
            "it reaches, so more prompts cost little.",
            460,
        ),
        "model": node("LoadDemoModel", 0),
        "latent": node("PanoramaLatent", 1, model=["model", 0], width=1024, height=128),
        "windows": node("PanoramaWindows", 1, model=["model", 0], wrap_x=True),
        "positive": node(
            "PanoramaPrompts",
            2,
            clip=["model", 1],
            model=["windows", 0],
            samples=["latent", 0],
            everywhere="far sky mountains forest meadow, day",
            prompts="spring\nsummer\nautumn\nwinter",
        )
        | {"size": [360, 460], "color": "green"},
        "negative": text_encode("", title="Negative prompt", column=2),
        "sampler": sampler("KSampler", 3, seed=5),
        "plan": node("PanoramaPlan", 3, model=["windows", 0], samples=["latent", 0], positive=["positive", 0])
        | {"size": [480, 420]},
        **finish("panorama_360_seasons_demo", 4, wrap_x=True),
    },
    "image_to_panorama_demo": {
        "note": note(
            "## A picture becomes a panorama\n\n"
            "The upper row makes a picture. **Panorama Latent** puts it in the middle of the canvas and masks it. The "
            "sampler paints around it. **Differential Diffusion**, a node of ComfyUI, frees the edge of the picture "
            "step by step, so that no edge is seen.\n\n"
            "**Change:** *Load Image* in place of the upper row, for your own picture (and a checkpoint in place of "
            "the demo model). *image_scale*, *image_x* and *image_y* are its size and place. *feather* is how much of "
            "its edge may change.\n\n"
            "**Expect:** the unchanged picture in the middle of a wider scene. Use the same prompt for both.",
            360,
        ),
        **picture(),
        "look": node("PreviewImage", 5, images=["picture", 0]) | {"size": [300, 300]},
        **second_row(around_picture("image_to_panorama_demo")),
    },
    "panorama_sd15": checkpoint(
        "panorama_sd15",
        "## Panorama with Stable Diffusion 1.5\n\n"
        "2048 x 512 pixels, through windows of 512 x 512, the size that the model was trained on.\n\n"
        "**Change:** the checkpoint (any of the SD 1.5 family), the prompt, width and height. Mute *Save Image* "
        "(Ctrl+M) and queue: then you get only the **plan**, with the number of windows and the cost of a step.\n\n"
        "**Expect:** about seven times the time of one 512 x 512 picture. Describe the whole scene, not an object: "
        "every window gets the whole prompt. For a height of 1024 pixels and more, use *Multi-Scale Sampler*.",
        SD15_FILE,
        SD15,
        (2048, 512),
        sampler("KSampler", 2, steps=25, cfg=7.0),
    ),
    "panorama_sdxl": checkpoint(
        "panorama_sdxl",
        "## Panorama with SDXL\n\n"
        "3072 x 1024 pixels, through windows of 1024 x 1024, the size that the model was trained on.\n\n"
        "**Change:** the checkpoint (any of the SDXL family; for a turbo model set *window_width* and *window_height* "
        "to 512, with few steps and cfg 1), the prompt, width and height.\n\n"
        "**Expect:** about five times the time of one 1024 x 1024 picture. A wider canvas needs no more memory for the "
        "model. Describe the whole scene, not an object: every window gets the whole prompt. For a height of 2048 "
        "pixels and more, use *Multi-Scale Sampler*.",
        SDXL_FILE,
        SDXL,
        (3072, 1024),
        sampler("KSampler", 2, steps=30, cfg=6.0),
    ),
}

"""Panoramas, edits, a texture and a video by transformers, with the files and settings of ComfyUI's own templates."""

from .enlarging import FLUX, FLUX_FILE, texture
from .parts import (
    SCENE,
    UNWANTED,
    checkpoint_loader,
    distilled,
    finish,
    in_parts,
    models,
    node,
    note,
    panorama,
    prompts,
    sampler,
    text_encode,
    turned,
)

HUB = "https://huggingface.co/Comfy-Org/"
SCHNELL, SCHNELL_FILE = f"{HUB}flux1-schnell/resolve/main/", "flux1-schnell-fp8.safetensors"
SD35, SD35_FILE = f"{HUB}stable-diffusion-3.5-fp8/resolve/main/", "sd3.5_large_fp8_scaled.safetensors"
FLUX_TEXT = "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main/"
FLUX_TEXT_FILES = "clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"
KONTEXT = f"{HUB}flux1-kontext-dev_ComfyUI/resolve/main/split_files/diffusion_models/"
KONTEXT_FILE = "flux1-dev-kontext_fp8_scaled.safetensors"
FLUX_VAE = f"{HUB}Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae/"
QWEN, QWEN_EDIT = (f"{HUB}{name}_ComfyUI/resolve/main/split_files/" for name in ("Qwen-Image", "Qwen-Image-Edit"))
LORA_360, LORA_360_FILE = (
    "https://huggingface.co/ProGamerGov/qwen-360-diffusion/resolve/main/",
    "qwen-360-diffusion-2512-int8-bf16-v2.safetensors",
)
Z_IMAGE = f"{HUB}z_image_turbo/resolve/main/split_files/"
WAN = f"{HUB}Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/"

WHOLE_SCENE = "Describe the whole scene, not an object: every window gets the whole prompt."
HIGHER = "For a height of two windows and more, use *Multi-Scale Sampler* in the place of KSampler."
WINTER = (
    "Turn this scene into a winter night: snow on the ground and on every roof and branch, moonlight. "
    "Keep all shapes where they are."
)
EVERYWHERE = (
    "**Change:** the picture in *Load Image*; the prompt. Ask for what can be done in every part of the picture: "
    "another season, hour, weather, material or style. *megapixels* is the size of the result.\n\n"
)


def diffusion_model(file: str, url: str) -> dict:
    """The loader of the first of three files."""
    return node("UNETLoader", 0, unet_name=file, weight_dtype="default") | models("diffusion_models", (file, url))


def text_encoder(file: str, url: str, kind: str) -> dict:
    """The loader of the second."""
    return node("CLIPLoader", 0, clip_name=file, type=kind) | models("text_encoders", (file, url))


def vae(file: str, url: str) -> dict:
    """The loader of the third."""
    return node("VAELoader", 0, vae_name=file) | models("vae", (file, url))


def qwen(file: str, url: str) -> dict:
    """Qwen-Image, or its model for edits, whose file is named."""
    return {
        "model": diffusion_model(file, f"{url}diffusion_models/"),
        "clip": text_encoder("qwen_2.5_vl_7b_fp8_scaled.safetensors", f"{QWEN}text_encoders/", "qwen_image"),
        "vae": vae("qwen_image_vae.safetensors", f"{QWEN}vae/"),
    }


def z_image() -> dict:
    """Z-Image-Turbo."""
    return {
        "model": diffusion_model("z_image_turbo_bf16.safetensors", f"{Z_IMAGE}diffusion_models/"),
        "clip": text_encoder("qwen_3_4b.safetensors", f"{Z_IMAGE}text_encoders/", "lumina2"),
        "vae": vae("ae.safetensors", f"{Z_IMAGE}vae/"),
    }


def wan() -> dict:
    """Wan 2.1, the small one."""
    return {
        "model": diffusion_model("wan2.1_t2v_1.3B_fp16.safetensors", f"{WAN}diffusion_models/"),
        "clip": text_encoder("umt5_xxl_fp8_e4m3fn_scaled.safetensors", f"{WAN}text_encoders/", "wan"),
        "vae": vae("wan_2.1_vae.safetensors", f"{WAN}vae/"),
    }


def kontext() -> dict:
    """Flux Kontext."""
    first, second = FLUX_TEXT_FILES
    return {
        "model": diffusion_model(KONTEXT_FILE, KONTEXT),
        "clip": node("DualCLIPLoader", 0, clip_name1=first, clip_name2=second, type="flux")
        | models("text_encoders", *((file, FLUX_TEXT) for file in FLUX_TEXT_FILES)),
        "vae": vae("ae.safetensors", FLUX_VAE),
    }


def aura_shift(shift: float) -> dict:
    """How Qwen-Image and Z-Image spread their steps over the noise levels."""
    return node("ModelSamplingAuraFlow", 1, model=["model", 0], shift=shift)


def sampled(steps: int, cfg: float, sampler_name: str = "euler", scheduler: str = "simple", **inputs) -> dict:
    """KSampler with the settings of a model."""
    settings = {"steps": steps, "cfg": cfg, "sampler_name": sampler_name, "scheduler": scheduler}
    return sampler("KSampler", 2, **settings, **inputs)


def flux() -> dict:
    """Flux dev."""
    text = (
        "## Panorama with Flux dev\n\n"
        "3072 x 1024 pixels, through windows of 1024 x 1024. Flux is guided by **FluxGuidance**, so *cfg* is 1 and "
        "there is no negative prompt.\n\n"
        f"**Change:** the prompt, width and height, *guidance*. {HIGHER}\n\n"
        f"**Expect:** about five times the time of one 1024 x 1024 picture. {WHOLE_SCENE}"
    )
    loader = {"model": checkpoint_loader(FLUX_FILE, FLUX)}
    graph = panorama("panorama_flux", note(text, 360), loader, prompts(SCENE), (3072, 1024), sampled(20, 1.0))
    return distilled(graph, guidance=3.5)


def schnell() -> dict:
    """Flux schnell."""
    text = (
        "## Panorama with Flux schnell\n\n"
        "3072 x 1024 pixels in 4 steps, through windows of 1024 x 1024. The model needs no guidance: *cfg* is 1, and "
        "there is no negative prompt.\n\n"
        "**Change:** the prompt, width and height; *overlap* 0.75 if windows differ too much: in 4 steps they have "
        f"little time to agree. {HIGHER}\n\n"
        f"**Expect:** about five times the time of one 1024 x 1024 picture. {WHOLE_SCENE}"
    )
    loader = {"model": checkpoint_loader(SCHNELL_FILE, SCHNELL)}
    name = "panorama_flux_schnell"
    return distilled(panorama(name, note(text, 380), loader, prompts(SCENE), (3072, 1024), sampled(4, 1.0)))


def sd35() -> dict:
    """Stable Diffusion 3.5."""
    text = (
        "## Panorama with Stable Diffusion 3.5\n\n"
        "3072 x 1024 pixels, through windows of 1024 x 1024, the size that the model was trained on.\n\n"
        f"**Change:** the checkpoint (large, medium), the prompt, width and height. {HIGHER}\n\n"
        f"**Expect:** about five times the time of one 1024 x 1024 picture. {WHOLE_SCENE}"
    )
    loader, size = {"model": checkpoint_loader(SD35_FILE, SD35)}, (3072, 1024)
    sample = sampled(20, 4.0, scheduler="sgm_uniform")
    return panorama("panorama_sd35", note(text, 340), loader, prompts(SCENE, UNWANTED), size, sample)


def by_qwen_image(graph: dict) -> dict:
    """A graph with Qwen-Image as its model."""
    return in_parts(graph, qwen("qwen_image_2512_fp8_e4m3fn.safetensors", QWEN), aura_shift(3.1))


def qwen_image() -> dict:
    """Qwen-Image."""
    text = (
        "## Panorama with Qwen-Image\n\n"
        "3984 x 1328 pixels, through windows of 1328 x 1328, the size that the model was trained on.\n\n"
        "**Change:** the model (any Qwen-Image), the prompt, width and height. With a Lightning LoRA (*Load LoRA* "
        f"behind *Load Diffusion Model*), set its 4 or 8 steps and *cfg* 1. {HIGHER}\n\n"
        f"**Expect:** about five times the time of one 1328 x 1328 picture. {WHOLE_SCENE}"
    )
    size, sample = (3984, 1328), sampled(50, 4.0)
    graph = panorama("panorama_qwen_image", note(text, 400), {}, prompts(SCENE, UNWANTED), size, sample)
    return by_qwen_image(graph)


def sphere() -> dict:
    """Qwen-Image with a LoRA that has learned the whole sphere."""
    text = (
        "## 360 degrees, up and down too\n\n"
        "A LoRA makes Qwen-Image paint equirectangular pictures, which viewers turn around you. Alone, it can leave a "
        "seam where the left and the right edge meet. Here a second window, turned by half, sees that place in its "
        "middle (*wrap_x*). **Save Panorama** writes into the file what viewers need.\n\n"
        "**Change:** the prompt, but keep its beginning. To look around in the graph, add a node of a viewer pack, "
        "such as *Preview 360 Panorama*, behind *Panorama Decode*.\n\n"
        "**Expect:** twice the time of one 2048 x 1024 picture. The poles are as good as the LoRA paints them."
    )
    name, size = "panorama_360_qwen_image", (2048, 1024)
    lora = node("LoraLoaderModelOnly", 0, lora_name=LORA_360_FILE, strength_model=1.0)
    lora |= models("loras", (LORA_360_FILE, LORA_360))
    scene = f"equirectangular 360 image, {SCENE.removeprefix('wide panorama of ')}"
    whole = {"window_width": 2048, "window_height": 1024, "wrap_x": True}
    prompted = prompts(scene, UNWANTED)
    graph = panorama(name, note(text, 480), {}, prompted, size, sampled(50, 4.0), whole, [lora], wrap_x=True)
    graph["save"] = turned(name, 5)
    return by_qwen_image(graph)


def z_image_panorama() -> dict:
    """Z-Image-Turbo."""
    text = (
        "## Panorama with Z-Image-Turbo\n\n"
        "3072 x 1024 pixels in 8 steps, through windows of 1024 x 1024. The model needs no guidance: *cfg* is 1, and "
        "there is no negative prompt.\n\n"
        f"**Change:** the prompt, width and height. {HIGHER}\n\n"
        f"**Expect:** about five times the time of one 1024 x 1024 picture. {WHOLE_SCENE}"
    )
    sample = sampled(8, 1.0, "res_multistep")
    graph = panorama("panorama_z_image", note(text, 360), {}, prompts(SCENE), (3072, 1024), sample)
    return in_parts(distilled(graph), z_image(), aura_shift(3.0))


def z_image_texture() -> dict:
    """Z-Image-Turbo, with edges that meet."""
    text = (
        "## A seamless texture with a transformer\n\n"
        "Tricks with padding make a U-Net seamless, but not a transformer. Here windows lie across the edges "
        "(*wrap_x*, *wrap_y* of **Panorama Windows**), so that any model paints a texture that repeats. **Joint "
        "Upscale** makes it twice as large, and its edges still meet.\n\n"
        "**Change:** the prompt: name one material, seen from above. Flux, Qwen-Image and others do the same: replace "
        "the loaders, and take their steps and *cfg*.\n\n"
        "**Expect:** 2048 x 2048 pixels that can be laid side by side in both directions."
    )
    words = "mossy cobblestones, texture, top view, evenly lit", ""
    settings = {"steps": 8, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple"}
    graph = distilled(texture("texture_z_image", note(text, 440), {}, words, 1024, 2.0, **settings))
    return in_parts(graph, z_image(), aura_shift(3.0))


def edit(name: str, read_me: dict, sample: dict, conditionings: dict) -> dict:
    """A large picture, edited in windows; each sees its own part of the picture as its reference."""
    size = {"megapixels": 4.0, "resolution_steps": 16}
    return {
        "note": read_me,
        "picture": node("LoadImage", 0, image="example.png") | {"size": [300, 340]},
        "scaled": node("ImageScaleToTotalPixels", 1, image=["picture", 0], upscale_method="lanczos", **size),
        "latent": node("PanoramaEncode", 2, "The picture, for reference", image=["scaled", 0], vae=["model", 2]),
        "windows": node("PanoramaWindows", 2, model=["model", 0]),
        **conditionings,
        "sampler": sample | {"column": 5},
        **finish(name, 6),
    }


def kontext_edit() -> dict:
    """Flux Kontext."""
    text = (
        "## Edit a large picture with Flux Kontext\n\n"
        "Kontext works at about one megapixel. Here it edits four: it sees the picture through windows of 1024 x 1024, "
        "and each window gets its own part of the picture as its reference.\n\n"
        f"{EVERYWHERE}"
        "**Expect:** about nine times the time of an edit of 1024 x 1024 pixels. A change to a single object may be "
        "made in each window that sees a part of it."
    )
    conditionings = {
        "positive": text_encode(WINTER, column=2),
        "reference": node("ReferenceLatent", 3, conditioning=["positive", 0], latent=["latent", 0]),
        "guidance": node("FluxGuidance", 4, conditioning=["reference", 0], guidance=2.5),
        "negative": node("ConditioningZeroOut", 4, "No negative prompt", conditioning=["positive", 0]),
    }
    sample = sampled(20, 1.0, positive=["guidance", 0])
    return in_parts(edit("edit_flux_kontext", note(text, 440), sample, conditionings), kontext())


def qwen_edit() -> dict:
    """Qwen-Image-Edit. The encoder of its prompts would put the whole picture, made small, before every window."""
    text = (
        "## Edit a large picture with Qwen-Image-Edit\n\n"
        "The model sees the picture through windows, and each window gets its own part of the picture as its reference "
        "(**Set Reference Latent**). So do not connect the VAE to *TextEncodeQwenImageEditPlus*: it would show the "
        "whole picture, made small, to every window.\n\n"
        f"{EVERYWHERE}"
        "**Expect:** about four times the time of an edit of one window. A change to a single object may be made in "
        "each window that sees a part of it."
    )
    conditionings = {}
    for key, words, title, colour in (
        ("positive", WINTER, "Prompt", "green"),
        ("negative", "", "Negative prompt", "red"),
    ):
        shown = {"clip": ["model", 1], "prompt": words, "image1": ["scaled", 0]}
        encoded, reference = f"{key}_text", f"{key}_reference"
        conditionings |= {
            encoded: node("TextEncodeQwenImageEditPlus", 2, title, **shown) | {"color": colour},
            reference: node("ReferenceLatent", 3, conditioning=[encoded, 0], latent=["latent", 0]),
            key: node(
                "FluxKontextMultiReferenceLatentMethod",
                4,
                conditioning=[reference, 0],
                reference_latents_method="index_timestep_zero",
            ),
        }
    norm = node("CFGNorm", 3, model=["windows", 0], strength=1.0)
    sample = sampled(40, 4.0, model=["norm", 0])
    graph = edit("edit_qwen_image", note(text, 480), sample, conditionings | {"norm": norm})
    graph["windows"]["inputs"]["overlap"] = 0.45  # two windows of 1328 span 2048 pixels
    return in_parts(graph, qwen("qwen_image_edit_2511_fp8mixed.safetensors", QWEN_EDIT), aura_shift(3.1))


def video() -> dict:
    """Wan, all around."""
    text = (
        "## A 360 degree video with Wan\n\n"
        "33 frames of 2496 x 480 pixels, two seconds, through windows of 832 x 480, the size that the small model was "
        "trained on. Every window has all frames. The left and the right edge meet in every frame (*wrap_x*).\n\n"
        "**Change:** the prompt; *width*, a multiple of 16; *length*, 4 n + 1 frames; without *wrap_x* in both nodes "
        "it is a wide video. For a larger Wan, set *window_width* and *window_height* to what it was trained on. Ask "
        "for a still camera: if it moves, every window moves on its own.\n\n"
        "**Expect:** about four times the time of one video of 832 x 480. To look around in it, viewers need frames "
        "half as high as wide: this is a band around the horizon."
    )
    name, width, height = "video_360_wan", 2496, 480
    scene = "a beach in daylight, waves roll in, palm trees sway in the wind, clouds drift, still camera at eye level"
    unwanted = "overexposed, blurry, subtitles, motionless picture, moving camera"
    shape = {"window_width": 832, "window_height": height, "overlap": 0.25, "wrap_x": True}
    graph = {
        "note": note(text, 500),
        **prompts(scene, unwanted),
        "latent": node("EmptyHunyuanLatentVideo", 1, "Frames", width=width, height=height, length=33, batch_size=1),
        "windows": node("PanoramaWindows", 1, model=["model", 0], **shape),
        "sampler": sampled(30, 6.0, "uni_pc"),
        "decode": node("PanoramaDecode", 3, samples=["sampler", 0], vae=["model", 2], wrap_x=True),
        "plan": node("PanoramaPlan", 3, model=["windows", 0], samples=["latent", 0]) | {"size": [340, 280]},
        "video": node("CreateVideo", 4, images=["decode", 0], fps=16.0),
        "save": node("SaveVideo", 5, video=["video", 0], filename_prefix=f"video/{name}") | {"size": [560, 300]},
    }
    shift = node("ModelSamplingSD3", 1, model=["model", 0], shift=8.0)
    return in_parts(graph, wan(), shift)


GRAPHS = {
    "panorama_flux": flux(),
    "panorama_flux_schnell": schnell(),
    "panorama_sd35": sd35(),
    "panorama_qwen_image": qwen_image(),
    "panorama_360_qwen_image": sphere(),
    "panorama_z_image": z_image_panorama(),
    "texture_z_image": z_image_texture(),
    "edit_flux_kontext": kontext_edit(),
    "edit_qwen_image": qwen_edit(),
    "video_360_wan": video(),
}

"""Words that people type into the search of ComfyUI, for several nodes each; a node adds words of its own."""

LARGE = ("panorama", "big image", "large image", "wide", "hires", "tiled diffusion", "multidiffusion")
# What people call a canvas whose edges meet.
WRAP = ("360", "vr", "equirectangular", "seamless", "tiling", "tileable", "texture", "wrap", "loop")
UPSCALE = (
    "upscale",
    "enlarge",
    "large image",
    "big image",
    "hires fix",
    "high resolution",
    "tile",
    "tiled ksampler",
    "tiled upscale",
    "ultimate sd upscale",
    "demofusion",
    "refine",
    "detail",
)
ZOOM = ("powers of ten", "zoom", "infinite zoom", "zoom in", "zoom out", "zoom video")

"""The pack as ComfyUI sees it: its nodes, and the ComfyUI they need."""

import re

# Advanced inputs came with 0.10, search aliases and the ratio of a LATENT with 0.11; the rest is room for the hooks in
# `host/`, which are tested on 0.33. pyproject.toml says the same to the registry; ComfyUI itself enforces nothing.
REQUIRED = (0, 19, 0)


def joint_diffusion_extension():
    """The pack's ComfyExtension.

    Raises:
        RuntimeError: this ComfyUI is too old; the host prints the message and goes on without the pack.
    """
    require_host(host_version())
    # Imported here, not above: on a ComfyUI that is too old they fail in ways that nobody can read.
    from comfy_api.latest import ComfyExtension

    from .explore_zoom_stack import ExploreZoomStack
    from .host.perceptual_weights import register_folder
    from .joint_upscale import JointUpscale
    from .load_demo_model import LoadDemoModel
    from .multi_scale import MultiScaleGuidance, MultiScaleSampler
    from .panorama_decode import PanoramaDecode
    from .panorama_encode import PanoramaEncode
    from .panorama_latent import PanoramaLatent
    from .panorama_metrics import PanoramaMetrics
    from .panorama_plan import PanoramaPlan
    from .panorama_prompts import PanoramaPrompts
    from .panorama_windows import PanoramaWindows
    from .ray_workers import RayWorkers
    from .save_panorama import SavePanorama
    from .structure_guidance import StructureGuidance
    from .sync_guidance import SyncGuidance
    from .twin_crop_fusion import TwinCropFusion
    from .twin_images import TwinImages
    from .zoom_prompts import ZoomPrompts
    from .zoom_stack_sampler import ZoomStackSampler
    from .zoom_video import ZoomFrames, ZoomVideo

    register_folder()

    class JointDiffusion(ComfyExtension):
        async def get_node_list(self):
            return [
                LoadDemoModel,
                JointUpscale,
                PanoramaLatent,
                PanoramaWindows,
                PanoramaPrompts,
                PanoramaPlan,
                MultiScaleSampler,
                MultiScaleGuidance,
                StructureGuidance,
                SyncGuidance,
                TwinCropFusion,
                TwinImages,
                PanoramaEncode,
                PanoramaDecode,
                SavePanorama,
                PanoramaMetrics,
                RayWorkers,
                ZoomPrompts,
                ZoomStackSampler,
                ZoomVideo,
                ZoomFrames,
                ExploreZoomStack,
            ]

    return JointDiffusion()


def host_version() -> str:
    """Version of the running ComfyUI."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return "of unknown version"
    return __version__


def require_host(version: str) -> None:
    """Refuse a ComfyUI below `REQUIRED` in one line."""
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if found < REQUIRED:
        needed = ".".join(map(str, REQUIRED))
        raise RuntimeError(
            f"Joint Diffusion needs ComfyUI {needed} or newer, but this one is {version}: update ComfyUI."
        )

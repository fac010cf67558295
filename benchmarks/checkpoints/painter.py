"""Pictures by the pack in the real ComfyUI. Importing this starts ComfyUI, on the GPU of this process."""

import time
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from ..host import start_host
from .pictures import REFERENCE, Picture, Settings, require_known

start_host()

import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
from joint_diffusion.core.methods.multiscale import MultiScaleParams  # noqa: E402
from joint_diffusion.core.methods.syncdiffusion import SyncParams  # noqa: E402
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams  # noqa: E402
from joint_diffusion.nodes.host.families import native_window  # noqa: E402
from joint_diffusion.nodes.host.ksampler import SAMPLERS, SCHEDULERS, sample  # noqa: E402
from joint_diffusion.nodes.host.latents import latent_space  # noqa: E402
from joint_diffusion.nodes.host.windows.patch import with_settings  # noqa: E402
from joint_diffusion.nodes.load_demo_model import LoadDemoModel  # noqa: E402
from joint_diffusion.nodes.panorama_decode import PanoramaDecode  # noqa: E402
from joint_diffusion.nodes.panorama_latent import PanoramaLatent  # noqa: E402
from joint_diffusion.nodes.panorama_windows import OVERLAPPING, PanoramaWindows  # noqa: E402

DEMO = "demo"
MSD, SYNC = {"multiscale": MultiScaleParams()}, {"sync": SyncParams()}
TWIN = {"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()}
GUIDANCE = {"multidiffusion": {}, "sync": SYNC, "msd": MSD, "twin": TWIN, "full": MSD | SYNC | TWIN}


class Painter:
    """One checkpoint, loaded: a file, by its path or by its name in ComfyUI's folders; or DEMO.

    Raises:
        ValueError: there is no such file, it holds a model alone, or ComfyUI has no such sampler or scheduler.
    """

    def __init__(self, checkpoint: str, settings: Settings):
        require_known("sampler", settings.sampler, SAMPLERS)
        require_known("scheduler", settings.scheduler, SCHEDULERS)
        comfy.utils.set_progress_bar_enabled(False)  # one of our own counts pictures
        self.settings = settings
        with torch.inference_mode():
            self.model, clip, self.vae = _load(checkpoint)
            windows = PanoramaWindows.execute(self.model, 0, 0, settings.overlap, OVERLAPPING, False, False)
            (self.windows,) = windows.args
        self.encode = cache(lambda text: clip.encode_from_tokens_scheduled(clip.tokenize(text)))

    def paint(self, picture: Picture) -> tuple[Image.Image, float]:
        """The picture, and the seconds it took."""
        start, settings = time.perf_counter(), self.settings
        with torch.inference_mode():
            model, height, width = self._canvas(picture.group.method)
            (canvas,) = PanoramaLatent.execute(width, height, 1, model).args
            latent = sample(
                model,
                seed=picture.seed,
                steps=settings.steps,
                cfg=settings.cfg,
                sampler_name=settings.sampler,
                scheduler=settings.scheduler,
                positive=self.encode(picture.group.prompt),
                negative=self.encode(""),
                latent_image=canvas,
                denoise=1.0,
            )
            (image,) = PanoramaDecode.execute(latent, self.vae).args
        return Image.fromarray((255 * image[0]).round().byte().cpu().numpy()), time.perf_counter() - start

    def _canvas(self, method: str) -> tuple:
        """The model as the method wants it, and (height, width) in pixels."""
        pixels_per_cell = latent_space(self.model).pixels_per_cell
        height, width = (pixels_per_cell * side for side in native_window(self.model))
        if method == REFERENCE:
            return self.model, height, width
        model = with_settings(self.windows, **GUIDANCE[method])
        return model, self.settings.rows * height, self.settings.columns * width


def _load(checkpoint: str) -> tuple:
    """MODEL, CLIP and VAE."""
    if checkpoint == DEMO:
        return LoadDemoModel.execute().args
    path = checkpoint if Path(checkpoint).is_file() else folder_paths.get_full_path("checkpoints", checkpoint)
    if path is None:
        raise ValueError(f"checkpoint: must be a file, a name in ComfyUI's checkpoints, or {DEMO}, got {checkpoint!r}.")
    loaded = comfy.sd.load_checkpoint_guess_config(
        path, embedding_directory=folder_paths.get_folder_paths("embeddings")
    )[:3]
    for name, part in zip(("model", "text encoder", "VAE"), loaded, strict=True):
        if part is None:
            raise ValueError(f"checkpoint: {checkpoint} has no {name}; it must be a whole checkpoint.")
    return loaded

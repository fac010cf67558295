"""Every method of the pack as a small run of tiny models: what it gives, and what it could leave something behind on.

Import only after `host.start_host`.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import comfy.sd
import comfy.utils
import folder_paths
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.perception.lpips import Lpips
from joint_diffusion.core.zoom.path import DIRECTIONS, EASINGS
from joint_diffusion.nodes.host.gradients.vae import load_along
from joint_diffusion.nodes.host.settings import Picture, PictureLoss
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.joint_upscale import JointUpscale
from joint_diffusion.nodes.panorama_decode import PanoramaDecode
from joint_diffusion.nodes.panorama_encode import PanoramaEncode
from joint_diffusion.nodes.save_panorama import SavePanorama
from joint_diffusion.nodes.twin_images import TwinImages
from joint_diffusion.nodes.zoom_prompts import StackPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler
from joint_diffusion.nodes.zoom_video import ZoomVideo
from sampling_run import lively, prompts, run

WINDOWS = WindowParams(window=Size(4, 4), stride=Size(2, 2), grid=2, batch=5)
APART = replace(WINDOWS, stride=Size(4, 4))
KSAMPLER = {"seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "karras"}
GUIDED = torch.tensor([14.6, 4.0, 1.0])  # with guidance in its last step, which needs that a part of x is kept
Result = torch.Tensor | bytes


@dataclass(frozen=True)
class Subject:
    """One run. `paint` gives tensors, or the bytes of the files that it wrote and has removed again."""

    name: str
    paint: Callable[[], list[Result]]
    watched: tuple[Any, ...] = field(repr=False)  # patchers, VAEs and ControlNets


class Scene:
    """The models that all subjects share, and what they are told."""

    def __init__(self, output: Path):
        self.output = output
        self.written = 0  # bytes of the largest file that the last run has written
        self.sd15, self.flux = lively(tiny_models.sd15()), lively(tiny_models.flux())
        self.vae, self.net = tiny_models.vae(), tiny_models.control_net()
        weights = tiny_models.perceptual_weights()
        self.loss = PictureLoss(vae=self.vae, perception=Lpips(weights))
        generator = torch.Generator().manual_seed(8)
        self.picture = torch.rand(1, 64, 64, 3, generator=generator)
        self.latent = torch.randn(1, 4, 8, 16, generator=generator)
        self.levels = torch.rand(3, 64, 64, 3, generator=generator)
        self.hint = torch.rand(1, 3, 64, 64, generator=generator)
        lora = comfy.sd.load_lora_for_models(self.sd15, None, tiny_models.lora_weights(self.sd15), 1.0, 0.0)
        self.with_lora = lora[0]

    def subjects(self) -> list[Subject]:
        models = self.sd15, self.flux, self.vae, self.net
        return [Subject(name, paint, models) for name, paint in self._paints().items()]

    def _paints(self) -> dict[str, Callable[[], list[Result]]]:
        joint = self._sampled
        sync = {"sync": SyncParams(weight=0.2)}
        cross = {"crop_fusion": CropFusionParams(adjacency=0.5), "cross_sampling": CrossSamplingParams()}
        coarse = {"multiscale": MultiScaleParams(scales=2)}
        picture = Picture(image=self.picture, vae=self.vae, strength=0.8, end=0.5)
        return {
            "MultiDiffusion": joint(),
            "moving windows": joint(windows=replace(WINDOWS, moving=True)),
            "Multi-Scale Diffusion": joint(**coarse),
            "Multi-Scale, gradient": joint(multiscale=MultiScaleParams(scales=2, guidance="gradient", weight=0.02)),
            "SyncDiffusion": joint(**sync),
            "SyncDiffusion, gradient, LPIPS": joint(
                windows=APART,
                sync=SyncParams(weight=0.2, guidance="gradient"),
                picture_loss=self.loss,
                sigmas=GUIDED[:2],
                width=8,
                height=4,
            ),
            "TwinDiffusion": joint(windows=APART, **cross),
            "all methods": joint(windows=replace(APART, wrap=Wrap(x=True)), **sync, **cross, **coarse),
            "structure of a picture": joint(picture=picture),
            "ControlNet, LoRA": joint(model=self.with_lora, control=True),
            "Flux": self._flux_sampled,
            "Joint Upscale": self._enlarged,
            "zoom stack, photograph": self._zoom("pixel", photograph=self.picture),
            "zoom stack, latents": self._zoom("latent"),
            "twin images": self._twins,
            "Panorama Decode": self._decoded,
            "Panorama Encode": self._encoded,
            "Save Panorama, png": self._saved("png"),
            "Save Panorama, tif": self._saved("tif"),
            "Save Panorama, dzi": self._saved("dzi"),
            "Zoom Video, mp4": self._video("mp4"),
            "Zoom Video, webm": self._video("webm"),
        }

    def _sampled(
        self, model=None, control=False, sigmas=GUIDED, height=8, width=8, **settings
    ) -> Callable[[], list[Result]]:
        def paint() -> list[Result]:
            options = {}
            if control:
                hinted = self.net.copy().set_cond_hint(self.hint, 0.9, (0.0, 1.0))
                options = {"control": hinted, "control_apply_to_uncond": True}
            joint = with_settings(model or self.sd15, **{"windows": WINDOWS, **settings})
            if "picture" in settings or "picture_loss" in settings:
                load_along(joint, self.vae)
            latent = torch.zeros(1, 4, height, width)
            return [run(joint, latent, steps=len(sigmas) - 1, sigmas=sigmas, prompt=prompts(**options))]

        return paint

    def _flux_sampled(self) -> list[Result]:
        sync = SyncParams(weight=0.2, guidance="gradient")
        joint = with_settings(self.flux, windows=WINDOWS, sync=sync)
        return [run(joint, torch.zeros(1, 16, 4, 8), steps=2, scheduler="simple", prompt=prompts("flux"))]

    def _enlarged(self) -> list[Result]:
        joint = with_settings(self.sd15, windows=replace(WINDOWS, window=Size(8, 8), stride=Size(6, 6)))
        positive, negative = prompts()
        image, latent = JointUpscale.execute(
            joint, positive, negative, self.vae, self.picture, 2.0, 1.0, **KSAMPLER, denoise=0.6
        ).args
        return [image, latent["samples"]]

    def _zoom(self, blending: str, **options) -> Callable[[], list[Result]]:
        levels = [tiny_models.prompt(seed) for seed in (1, 2, 3)]
        stack = StackPrompts(levels=levels, negative=tiny_models.prompt(4), prompts=("a", "b", "c"), zoom_factor=2)

        def paint() -> list[Result]:
            size = {"width": 64, "height": 64, "blending": blending}
            latent, image = ZoomStackSampler.execute(
                self.sd15, stack, self.vae, **KSAMPLER, denoise=1.0, **size, **options
            ).args
            return [latent["samples"], image]

        return paint

    def _twins(self) -> list[Result]:
        positive, negative = prompts()
        how = {"width": 64, "height": 64, "overlap": 0.5, "adjacency": 1.0, "stop": 0.5}
        (latent,) = TwinImages.execute(self.sd15, positive=positive, negative=negative, **how, **KSAMPLER).args
        return [latent["samples"]]

    def _decoded(self) -> list[Result]:
        how = {"wrap_x": True, "window": 64, "context": 16, "blend": 16}
        return list(PanoramaDecode.execute({"samples": self.latent}, self.vae, **how).args)

    def _encoded(self) -> list[Result]:
        (latent,) = PanoramaEncode.execute(self.picture, self.vae, wrap_x=True, window=64, context=16, blend=16).args
        return [latent["samples"]]

    def _saved(self, ending: str) -> Callable[[], list[Result]]:
        source = {"source": "latent", "samples": {"samples": self.latent}, "window": 64, "context": 16, "blend": 16}

        def paint() -> list[Result]:
            SavePanorama.execute({**source, "vae": self.vae}, "faults/panorama", ending, "none")
            return self.taken()

        return paint

    def _video(self, ending: str) -> Callable[[], list[Result]]:
        path = {"seconds_per_level": 0.2, "easing": EASINGS[0], "direction": DIRECTIONS[0]}

        def paint() -> list[Result]:
            ZoomVideo.execute(self.levels, 2, 20.0, ending, 30, "faults/zoom", **path)
            return self.taken()

        return paint

    def files(self) -> list[Path]:
        """What there is in the output folder, hidden files too."""
        return sorted(path for path in self.output.rglob("*") if path.is_file())

    def taken(self) -> list[Result]:
        """What is in these files. They are removed, as are all folders."""
        self.written = max((path.stat().st_size for path in self.files()), default=0)
        contents: list[Result] = [_content(path) for path in self.files() if path.name != "vips-properties.xml"]
        for path in self.output.iterdir():
            shutil.rmtree(path)
        return contents


def _content(path: Path) -> bytes:
    """The bytes of a file; of a video, whose encoder decides anew each time, how large each of its frames is."""
    if path.suffix not in (".mp4", ".webm"):
        return path.read_bytes()
    with av.open(str(path)) as video:
        return repr([(frame.width, frame.height) for frame in video.decode(video=0)]).encode()


def scene(folder: Path) -> Scene:
    """The scene, with output and temporary files of the host in `folder`."""
    output = folder / "output"
    output.mkdir()
    (folder / "temp").mkdir()
    folder_paths.set_output_directory(str(output))
    folder_paths.set_temp_directory(str(folder / "temp"))
    comfy.utils.set_progress_bar_enabled(False)
    logging.disable(logging.WARNING)  # the host says that memory has run out, which is what is tried
    return Scene(output)

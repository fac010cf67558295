"""Panoramas of the bundled model by ComfyUI's own samplers, and what is measured on them.

Import only after `host.start_host`.
"""

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from joint_diffusion.core.canvas.windows import Size, canvas_size, plan_windows
from joint_diffusion.core.measure.coherence import pairs_apart, palette_distance
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.demo.autoencoder import CHANNELS, PIXELS_PER_CELL
from joint_diffusion.demo.metrics import order_violations_per_column
from joint_diffusion.demo.pipeline import LandscapePipeline
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.windows.patch import with_settings
from torch import Tensor

from .features import WINDOW

HEIGHT = 2 * WINDOW  # pixels
CFG, CFG_PP = 2.0, 0.6  # samplers of the second kind take guidance scales of 0 to 1


class Sampling:
    """KSampler's sampling of one prompt, with every method; nothing is the negative prompt, `width` is in pixels."""

    def __init__(self, prompt: str, scheduler: str, steps: int, width: int):
        self.prompt, self.scheduler, self.steps = prompt, scheduler, steps
        self.latent = torch.zeros(1, CHANNELS, HEIGHT // PIXELS_PER_CELL, width // PIXELS_PER_CELL)
        self.pipeline = LandscapePipeline()
        model, clip = demo_model(), demo_clip()
        self.prompts = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, "")]
        ordered = with_settings(model, multiscale=MultiScaleParams())
        self.models = (with_settings(model), ordered, with_settings(ordered, sync=SyncParams()))

    def measured(self, model: ModelPatcher, sampler: str, seed: int) -> tuple[float, float]:
        """Order violations and palette distance of one panorama."""
        image = self.pipeline.decode(self._sampled(model, sampler, seed))
        canvas = canvas_size(image)
        upright = Size(canvas.height, WINDOW)
        distance = palette_distance(image, pairs_apart(plan_windows(canvas, upright, upright), canvas))
        return order_violations_per_column(image, self.prompt).item(), distance.item()

    def _sampled(self, model: ModelPatcher, sampler: str, seed: int) -> Tensor:
        noise, cfg = comfy.sample.prepare_noise(self.latent, seed), CFG_PP if "cfg_pp" in sampler else CFG
        kinds = (sampler, self.scheduler)
        options = {"seed": seed, "disable_pbar": True}
        return comfy.sample.sample(model, noise, self.steps, cfg, *kinds, *self.prompts, self.latent, **options)

"""Ways to take the steps of one canvas, each a run that can be timed: the pack's, the papers', the host's, a peer's.

Import only after `host.start_host`.
"""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from joint_diffusion.core.canvas.windows import Size, crop_batch
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams
from joint_diffusion.core.perception.similarity import LatentSimilarity
from joint_diffusion.core.step import Step
from joint_diffusion.nodes.host.windows.patch import with_settings
from torch import Tensor

from ..peers.packs import TiledDiffusion, context_windows
from . import literal
from .measuring import Run, Tick
from .models import CFG, Subject

SEED = 1
SCHEDULER = "normal"  # KSampler wants one, but is given the noise levels
LITERAL_MSD = MultiScaleParams(guidance="gradient", scales=2)  # as the papers have them
LITERAL_SYNC = SyncParams(guidance="gradient", anchors="one")
PLAIN, MOVING = "MultiDiffusion", "moving windows"
BY_SCALES, BY_LOOK = "MSD, gradient", "SyncDiffusion, gradient"
METHODS: dict[str, dict[str, Any]] = {  # fields of the pack's settings, and whether windows move
    PLAIN: {},
    MOVING: {"moving": True},
    "TwinDiffusion's Crop Fusion": {"crop_fusion": CropFusionParams()},
    "MSD": {"multiscale": MultiScaleParams()},
    "MSD, moving windows": {"multiscale": MultiScaleParams(), "moving": True},
    "SyncDiffusion": {"sync": SyncParams()},
    BY_SCALES: {"multiscale": LITERAL_MSD},
    BY_LOOK: {"sync": LITERAL_SYNC},
}
LOOPS = {  # of the papers, by what they must equal
    PLAIN: "MultiDiffusion, literal loop",
    BY_SCALES: "MSD, literal loop",
    BY_LOOK: "SyncDiffusion, literal loop",
}
CONTEXT_WINDOWS = "Context Windows of ComfyUI"
BARE = "bare model"
WITHOUT_WINDOWS = "sampling without windows"


class Contenders(NamedTuple):
    """The ways to sample one canvas with one model."""

    subject: Subject
    canvas: tuple[int, int]  # rows and columns of windows that do not overlap
    window: int  # its side in latent cells; neighbours overlap by half of it
    batch: int  # most windows in a model call, where it can be chosen
    peer: TiledDiffusion | None = None  # another pack, if there is one
    free: bool = False  # a model that costs nothing, to see what else takes time

    @property
    def size(self) -> Size:
        return Size(*(self.window * count for count in self.canvas))

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.windows.plan(self.size))

    @property
    def windows(self) -> WindowParams:
        """Uniform weights, as the papers, the peer and the host's windows have them: all must give the same picture."""
        square, stride = Size(self.window, self.window), Size(self.window // 2, self.window // 2)
        return WindowParams(window=square, stride=stride, weights="uniform", batch=self.batch, grid=self.subject.grid)

    def runs(self) -> dict[str, Run]:
        """Every one that works on this canvas; on a strip those without guidance, as the host's windows are."""
        methods = METHODS if self.canvas[0] > 1 else {name: METHODS[name] for name in (PLAIN, MOVING)}
        ours = {name: self.ours(**method) for name, method in methods.items()}
        loops = {LOOPS[name]: self.loop(name) for name in methods if name in LOOPS}
        return {BARE: self.bare, **ours, **loops, **self._others()}

    def without_model(self) -> dict[str, Run]:
        """Those of which the time beside the model is of interest."""
        free = self._replace(free=True)
        return {WITHOUT_WINDOWS: free.sampled(self.subject.patcher), PLAIN: free.ours(), **free._others()}

    def _others(self) -> dict[str, Run]:
        """The host's windows and those of the peer."""
        runs = {}
        if self.canvas[0] == 1:
            host = context_windows(self.subject.patcher, self.window, self.window // 2, fuse="flat")
            runs[CONTEXT_WINDOWS] = self.sampled(host)
        if self.peer:
            patched = self.peer.patch(self.subject.patcher, self.window, self.window // 2, self.batch)
            runs[self.peer.name] = self.sampled(patched)
        return runs

    def ours(self, moving: bool = False, **method: Any) -> Run:
        """The pack."""
        windows = replace(self.windows, moving=moving)
        return self.sampled(with_settings(self.subject.patcher, windows=windows, **method))

    def sampled(self, model: ModelPatcher) -> Run:
        """KSampler's run of a model."""
        if self.free:
            model = model.clone()
            model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "free", lambda _executor, x, *_args, **_kwargs: x)

        def run(steps: int, tick: Tick) -> Tensor:
            with torch.inference_mode():
                latent = self._latent()
                return comfy.sample.sample(
                    model,
                    comfy.sample.prepare_noise(latent, SEED),
                    steps,
                    CFG,
                    "euler",
                    SCHEDULER,
                    *self.subject.prompts,
                    latent,
                    seed=SEED,
                    sigmas=self._sigmas(steps),
                    disable_pbar=True,
                    callback=lambda *_: tick(),
                )

        return run

    def bare(self, steps: int, tick: Tick) -> Tensor:
        """The same windows through the network: already cut, never fused, no sampler."""
        denoise = self.subject.denoiser(self.window)
        with torch.inference_mode():
            x, sigmas = self._start(steps)
            batches = self.windows.batches(self.windows.plan(self.size))
            batches = [crop_batch(x, windows).clone() for windows in batches]
            for sigma in sigmas[:-1]:
                for views in batches:
                    denoise(views, sigma)
                tick()
        return x

    def loop(self, method: str) -> Run:
        """The paper's own loop."""
        denoise = self.subject.denoiser(self.window)
        half, plan = self.window // 2, literal.boxes(self.size, self.window, self.window // 2)

        def step(x: Tensor, sigma: float, after: float, index: int, count: int) -> Tensor:
            now = Step(sigma=sigma, kept=after / sigma, index=index, count=count)
            if method == PLAIN:
                return literal.multidiffusion(x, sigma, after, denoise, plan)
            if method == BY_SCALES:
                weight = LITERAL_MSD.strength_at(now)
                return literal.multi_scale(x, sigma, after, denoise, self.window, half, weight)
            windows = self.windows.plan(self.size)
            anchor = LITERAL_SYNC.anchor_of(windows, self.size)[windows[0]]
            weight = LITERAL_SYNC.weight_at(now)
            return literal.sync_diffusion(x, sigma, after, denoise, plan, tuple(anchor), _distance, weight)

        def run(steps: int, tick: Tick) -> Tensor:
            x, sigmas = self._start(steps)
            for index, (sigma, after) in enumerate(pairwise(sigmas)):
                x = step(x, sigma, after, index, steps)
                tick()
            return self.subject.patcher.model.process_latent_out(x.cpu())

        return run

    def _latent(self) -> Tensor:
        return torch.zeros(1, self.subject.channels, *self.size)

    def _sigmas(self, steps: int) -> Tensor:
        """Down to as much noise as picture: so far every method acts in every step."""
        highest = float(self.subject.patcher.get_model_object("model_sampling").sigma_max)
        lowest = min(1.0, highest / 2)  # flow models begin at 1
        return torch.logspace(math.log10(highest), math.log10(lowest), steps + 1)

    def _start(self, steps: int) -> tuple[Tensor, list[float]]:
        """x at the first noise level, and all levels."""
        sampling = self.subject.patcher.get_model_object("model_sampling")
        sigmas, latent = self._sigmas(steps), self._latent()
        x = sampling.noise_scaling(sigmas[0], comfy.sample.prepare_noise(latent, SEED), latent, True)
        return x.to(self.subject.patcher.load_device), sigmas.tolist()


def _distance(denoised: Tensor, reference: Tensor) -> Tensor:
    similarity = LatentSimilarity()
    return similarity.distance(denoised, similarity.features(reference)).sum()

"""Panoramas from the bundled model, painted by `core`: `python -m demo panorama`, from the root of the repository."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.canvas.fusion import WeightShape
from core.canvas.windows import Size, Window, canvas_size, plan_windows
from core.joint_params import JointParams, check_canvas
from core.joint_step import Aids, denoise_step
from core.measure.coherence import pairs_apart, palette_distance
from core.measure.seams import seam_energy, window_borders
from core.methods.multidiffusion import WindowParams
from core.methods.multiscale import MultiScaleParams
from core.methods.scale_map import ScaleMap
from core.methods.syncdiffusion import SyncParams
from core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from core.step import Step
from core.workers.pool import at_work

from .autoencoder import CHANNELS, PIXELS_PER_CELL
from .metrics import order_violations_per_column, palette_deviation
from .model import DOWNSAMPLING, NATIVE
from .pipeline import LandscapePipeline
from .sampling import check_sampling, check_side, euler, karras_sigmas, starting_noise
from .workers import Workers

SHARED_BATCH = 4  # windows in one call of the model, where several processes share them

MSD, SYNC = {"multiscale": MultiScaleParams()}, {"sync": SyncParams()}
TWIN = {"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()}
METHODS: dict[str, dict[str, Any]] = {
    "multidiffusion": {},
    "msd": MSD,
    "sync": SYNC,
    "twin": TWIN,
    "full": MSD | SYNC | TWIN,
}
"""The fields of `PanoramaParams` that each method sets, with the defaults of `core`."""


def landscape_windows(stride: int, **options: Any) -> WindowParams:
    """Windows of the model's own size, `stride` latent cells apart."""
    return WindowParams(window=Size(NATIVE, NATIVE), stride=Size(stride, stride), grid=DOWNSAMPLING, **options)


def scale_map_of(pipeline: LandscapePipeline) -> ScaleMap:
    """The map between two scales that belongs to the autoencoder."""
    return ScaleMap(pipeline.autoencoder.half_matrix, pipeline.autoencoder.half_offset)


@dataclass(frozen=True, kw_only=True)
class PanoramaParams:
    """One panorama; height and width in pixels. `METHODS` has the parameters of the methods."""

    height: int = 256
    width: int = 1024
    prompt: str = "summer day sky mountains forest meadow"
    seed: int = 0
    steps: int = 20
    cfg: float = 2.0
    stride: int = 8  # latent cells between windows
    moving: bool = False  # windows without overlap that move from step to step
    weights: WeightShape = "feathered"
    multiscale: MultiScaleParams | None = None
    sync: SyncParams | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None

    def __post_init__(self) -> None:
        check_sampling(self.steps, self.cfg)
        for name, side in (("height", self.height), ("width", self.width)):
            check_side(name, side, PIXELS_PER_CELL, PIXELS_PER_CELL * NATIVE)
        check_canvas(Size(self.height // PIXELS_PER_CELL, self.width // PIXELS_PER_CELL), self.joint)

    @property
    def joint(self) -> JointParams:
        """The parameters of `core`."""
        return JointParams(
            windows=landscape_windows(self.stride, weights=self.weights, moving=self.moving, seed=self.seed),
            multiscale=self.multiscale,
            sync=self.sync,
            crop_fusion=self.crop_fusion,
            cross_sampling=self.cross_sampling,
        )


class Panorama(NamedTuple):
    """A finished panorama and its cost."""

    image: Tensor  # (1, 3, H, W) in [0, 1]
    views: int  # views denoised


def paint_panorama(
    pipeline: LandscapePipeline,
    params: PanoramaParams,
    on_step: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
) -> Panorama:
    """Sample and decode one panorama; workers share its windows."""
    sigmas, before = karras_sigmas(params.steps), pipeline.views
    shape = (1, CHANNELS, params.height // PIXELS_PER_CELL, params.width // PIXELS_PER_CELL)
    noise = starting_noise(shape, params.seed, sigmas[0]).to(pipeline.device)
    joint = params.joint
    if workers is not None:
        joint = replace(joint, windows=replace(joint.windows, batch=SHARED_BATCH))
    latent = sample_jointly(pipeline, noise, sigmas, params.prompt, params.cfg, joint, None, on_step, workers)
    elsewhere = sum(count for _, count in workers.views) if workers is not None else 0
    return Panorama(pipeline.decode(latent), pipeline.views - before + elsewhere)


@torch.no_grad()
def sample_jointly(
    pipeline: LandscapePipeline,
    x: Tensor,
    sigmas: Tensor,
    prompt: str,
    cfg: float,
    joint: JointParams,
    picture: Tensor | None = None,
    on_step: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
) -> Tensor:
    """The latent (1, C, h, w) that the bundled model paints from x, noisy at sigmas[0]; `picture` as in `Aids`."""
    context = pipeline.encode([prompt])
    aids = Aids(scale_map=scale_map_of(pipeline), picture=picture, each=workers.pool.each if workers else map)

    def denoise(views: Tensor, sigma: float, _windows: Sequence[Window], _canvas: Size) -> Tensor:
        model = workers if workers is not None and at_work() else pipeline
        return model.denoise(views, sigma, context, cfg)

    def predict(x: Tensor, sigma: float, after: float) -> Tensor:
        step = Step(sigma=sigma, kept=after / sigma, index=int((sigmas > sigma).sum()), count=len(sigmas) - 1)
        return denoise_step(x, step, denoise, joint, aids)

    return euler(predict, x, sigmas, on_step)


def measure_panorama(image: Tensor, prompt: str, stride: int = 8) -> dict[str, float]:
    """The measures of one panorama (1, 3, H, W): seams at the borders of all windows, palettes of distant strips."""
    canvas = canvas_size(image)
    native, step = PIXELS_PER_CELL * NATIVE, PIXELS_PER_CELL * stride
    borders = window_borders(plan_windows(canvas, Size(native, native), Size(step, step)), canvas)
    strips = [Window(0, left, canvas.height, native) for left in range(0, canvas.width - native + 1, native)]
    return {
        "order_violations_per_column": order_violations_per_column(image, prompt).item(),
        "seam_energy": seam_energy(image, borders).item(),
        "palette_distance": palette_distance(image, pairs_apart(strips, canvas)).item(),
        "palette_deviation": palette_deviation(image, prompt).item(),
    }

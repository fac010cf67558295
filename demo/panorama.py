"""Panoramas from the bundled model through the core: what `python -m demo panorama` does.

The only file of this folder, with `__main__`, that uses `core`; run from the root of the repository.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.canvas.fusion import WeightShape
from core.canvas.windows import Size, Window, canvas_size, plan_windows
from core.joint_step import Aids, JointParams, check_canvas, denoise_step
from core.measure.coherence import Pair, pairs_apart, palette_distance
from core.measure.seams import seam_energy, window_borders
from core.methods.multidiffusion import WindowParams
from core.methods.multiscale import MultiScaleParams
from core.methods.scale_map import ScaleMap
from core.methods.syncdiffusion import SyncParams
from core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from core.step import Step

from .autoencoder import CHANNELS, PIXELS_PER_CELL
from .metrics import order_violations_per_column, palette_deviation
from .model import DOWNSAMPLING
from .pipeline import LandscapePipeline
from .sampling import check_sampling, euler, karras_sigmas, starting_noise

NATIVE = 16  # latent cells: the window the model was trained on
MSD, SYNC = {"multiscale": MultiScaleParams()}, {"sync": SyncParams()}
TWIN = {"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()}
METHODS: dict[str, dict[str, Any]] = {
    "multidiffusion": {},
    "msd": MSD,
    "sync": SYNC,
    "twin": TWIN,
    "full": MSD | SYNC | TWIN,
}
"""By name, the fields of `PanoramaParams` that a method sets; its paper's defaults."""


@dataclass(frozen=True, kw_only=True)
class PanoramaParams:
    """One panorama; height and width in pixels. `METHODS` has what the methods set."""

    height: int = 256
    width: int = 1024
    prompt: str = "summer day sky mountains forest meadow"
    seed: int = 0
    steps: int = 20
    cfg: float = 2.0
    stride: int = 8  # latent cells between windows
    moving: bool = False  # windows side by side that move, in place of overlapping ones
    weights: WeightShape = "feathered"
    multiscale: MultiScaleParams | None = None
    sync: SyncParams | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None

    def __post_init__(self) -> None:
        check_sampling(self.steps, self.cfg)
        for field in ("height", "width"):
            value = getattr(self, field)
            if value < PIXELS_PER_CELL * NATIVE or value % PIXELS_PER_CELL:
                least = PIXELS_PER_CELL * NATIVE
                raise ValueError(
                    f"{field}: must be a multiple of {PIXELS_PER_CELL} and at least {least} pixels, got {value}; "
                    f"{max(least, round(value / PIXELS_PER_CELL) * PIXELS_PER_CELL)} is the nearest that is."
                )
        check_canvas(Size(self.height // PIXELS_PER_CELL, self.width // PIXELS_PER_CELL), self.joint)

    @property
    def joint(self) -> JointParams:
        """The same for the core."""
        window, stride = Size(NATIVE, NATIVE), Size(self.stride, self.stride)
        return JointParams(
            windows=WindowParams(
                window=window,
                stride=stride,
                weights=self.weights,
                grid=DOWNSAMPLING,
                moving=self.moving,
                seed=self.seed,
            ),
            multiscale=self.multiscale,
            sync=self.sync,
            crop_fusion=self.crop_fusion,
            cross_sampling=self.cross_sampling,
        )


class Panorama(NamedTuple):
    """A finished panorama and what it cost."""

    image: Tensor  # (1, 3, H, W) in [0, 1]
    views: int  # views denoised


def paint_panorama(
    pipeline: LandscapePipeline, params: PanoramaParams, on_step: Callable[[int, int], None] | None = None
) -> Panorama:
    """Sample and decode one panorama."""
    context = pipeline.encode([params.prompt])
    joint = params.joint
    sigmas = karras_sigmas(params.steps)
    autoencoder = pipeline.autoencoder
    aids = Aids(scale_map=ScaleMap(matrix=autoencoder.half_matrix, offset=autoencoder.half_offset))
    before = pipeline.views

    def denoise(views: Tensor, sigma: float, _windows: Sequence[Window], _canvas: Size) -> Tensor:
        return pipeline.denoise(views, sigma, context, params.cfg)

    def predict(x: Tensor, sigma: float, after: float) -> Tensor:
        step = Step(sigma=sigma, kept=after / sigma, index=int((sigmas > sigma).sum()), count=params.steps)
        return denoise_step(x, step, denoise, joint, aids)

    shape = (1, CHANNELS, params.height // PIXELS_PER_CELL, params.width // PIXELS_PER_CELL)
    with torch.no_grad():
        noise = starting_noise(shape, params.seed, sigmas[0]).to(pipeline.device)
        latent = euler(predict, noise, sigmas, on_step)
    return Panorama(pipeline.decode(latent), pipeline.views - before)


def native_strips(image: Tensor) -> list[Window]:
    """Upright windows of the model's width, in pixels, side by side; what is left at the right is dropped."""
    canvas, width = canvas_size(image), PIXELS_PER_CELL * NATIVE
    return [Window(0, left, canvas.height, width) for left in range(0, canvas.width - width + 1, width)]


def distant_strips(image: Tensor) -> list[Pair]:
    """Those pairs of `native_strips` that do not touch: where the coherence of a panorama is measured."""
    return pairs_apart(native_strips(image), canvas_size(image))


def measure_panorama(image: Tensor, prompt: str, stride: int = 8) -> dict[str, float]:
    """The numbers for one panorama; seams are looked for at the borders of every window."""
    canvas = canvas_size(image)
    native, step = PIXELS_PER_CELL * NATIVE, PIXELS_PER_CELL * stride
    borders = window_borders(plan_windows(canvas, Size(native, native), Size(step, step)), canvas)
    return {
        "order_violations_per_column": order_violations_per_column(image, prompt).item(),
        "seam_energy": seam_energy(image, borders).item(),
        "palette_distance": palette_distance(image, distant_strips(image)).item(),
        "palette_deviation": palette_deviation(image, prompt).item(),
    }

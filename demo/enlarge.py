"""Pictures made larger with the bundled model: structure guidance by the picture itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from kornia.metrics import psnr
from torch import Tensor, nn

from core.canvas.windows import Size, Window
from core.joint_step import Aids, JointParams, denoise_step
from core.methods.multidiffusion import WindowParams
from core.methods.scale_map import ScaleMap
from core.methods.structure import StructureParams, kept, scales_for
from core.step import Step

from .autoencoder import PIXELS_PER_CELL
from .metrics import sharpness
from .model import DOWNSAMPLING
from .panorama import NATIVE, Panorama
from .pipeline import LandscapePipeline
from .sampling import check_sampling, euler, karras_sigmas, starting_noise


@dataclass(frozen=True, kw_only=True)
class EnlargeParams:
    """How a picture is enlarged.

    Attributes:
        upscale_by: 1 (refined at its size), 2, 4 or 8.
        prompt: what the picture shows; its zoom word should fit the enlarged one.
        denoise: 0..1, the part of the noise levels that is sampled; 1 starts from pure noise.
        structure: how closely the picture is kept, 0 (plain img2img) to 1.
        stride: latent cells between windows.
        moving: windows side by side that move, in place of overlapping ones.
    """

    upscale_by: int = 2
    prompt: str = ""
    seed: int = 0
    steps: int = 20
    cfg: float = 2.0
    denoise: float = 1.0
    stride: int = 8
    moving: bool = False
    structure: float = 1.0

    def __post_init__(self) -> None:
        check_sampling(self.steps, self.cfg)
        if self.upscale_by not in (1, 2, 4, 8):
            raise ValueError(f"upscale_by: must be 1, 2, 4 or 8, got {self.upscale_by}.")
        if not 0 < self.denoise <= 1:
            raise ValueError(f"denoise: must be above 0 and at most 1, got {self.denoise}.")


def enlarge_picture(
    pipeline: LandscapePipeline,
    picture: Tensor,
    params: EnlargeParams,
    on_step: Callable[[int, int], None] | None = None,
) -> Panorama:
    """The picture (1, 3, H, W) in [0, 1], `upscale_by` times as large."""
    autoencoder, context = pipeline.autoencoder, pipeline.encode([params.prompt])
    large = nn.functional.interpolate(picture, scale_factor=float(params.upscale_by), mode="bicubic").clamp(0, 1)
    structure = StructureParams(scales=scales_for(params.upscale_by), strength=params.structure)
    canvas = Size(*(side // PIXELS_PER_CELL for side in large.shape[-2:]))
    followed = structure.picture_size(canvas).scaled(PIXELS_PER_CELL)
    aids = Aids(
        scale_map=ScaleMap(matrix=autoencoder.half_matrix, offset=autoencoder.half_offset),
        picture=autoencoder.encode(nn.functional.interpolate(large, tuple(followed), mode="area")),
    )
    joint = JointParams(
        windows=WindowParams(
            window=Size(NATIVE, NATIVE),
            stride=Size(params.stride, params.stride),
            batch=8,
            grid=DOWNSAMPLING,
            moving=params.moving,
            seed=params.seed,
        ),
        structure=structure if params.structure > 0 else None,
    )
    sigmas = karras_sigmas(int(params.steps / params.denoise))[-(params.steps + 1) :]
    before = pipeline.views

    def denoise(views: Tensor, sigma: float, _windows: Sequence[Window], _canvas: Size) -> Tensor:
        return pipeline.denoise(views, sigma, context, params.cfg)

    def predict(x: Tensor, sigma: float, after: float) -> Tensor:
        step = Step(sigma=sigma, kept=after / sigma, index=int((sigmas > sigma).sum()), count=params.steps)
        return denoise_step(x, step, denoise, joint, aids)

    with torch.no_grad():
        start = autoencoder.encode(large)
        noise = starting_noise(tuple(start.shape), params.seed, sigmas[0]).to(pipeline.device)
        x = noise if params.denoise == 1 else start + noise * sigmas[0] / (1 + sigmas[0] ** 2) ** 0.5
        latent = euler(predict, x, sigmas, on_step)
    image = pipeline.decode(latent)
    if params.structure > 0:
        image = kept(image, picture, params.structure)
    return Panorama(image, pipeline.views - before)


def measure_enlarged(image: Tensor, picture: Tensor) -> dict[str, float]:
    """How well the image, made small again, agrees with the picture: PSNR in decibels. And how sharp it is."""
    small = nn.functional.interpolate(image, picture.shape[-2:], mode="area")
    return {"psnr": psnr(small, picture, max_val=1.0).item(), "sharpness": sharpness(image).item()}

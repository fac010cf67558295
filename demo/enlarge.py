"""Pictures made larger with the bundled model: structure guidance by the picture itself."""

from collections.abc import Callable
from dataclasses import dataclass

from kornia.metrics import psnr
from torch import Tensor, nn

from core.canvas.windows import Size, canvas_size
from core.joint_params import JointParams
from core.methods.structure import StructureParams, restored, scales_for

from .autoencoder import PIXELS_PER_CELL
from .metrics import sharpness
from .panorama import Panorama, landscape_windows, sample_jointly
from .pipeline import LandscapePipeline
from .sampling import check_sampling, noisy_start, partial_sigmas


@dataclass(frozen=True, kw_only=True)
class EnlargeParams:
    """How a picture is enlarged."""

    upscale_by: int = 2  # 1 (refined at its size), 2, 4 or 8
    prompt: str = ""  # what the picture shows; its zoom word should fit the enlarged one
    seed: int = 0
    steps: int = 20
    cfg: float = 2.0
    denoise: float = 1.0  # 0..1, the part of the noise levels that is sampled; 1 starts from pure noise
    stride: int = 8  # latent cells between windows
    moving: bool = False  # windows side by side that move, in place of overlapping ones
    structure: float = 1.0  # how closely the picture is kept, 0 (plain img2img) to 1

    def __post_init__(self) -> None:
        check_sampling(self.steps, self.cfg)
        if self.upscale_by not in (1, 2, 4, 8):
            raise ValueError(f"upscale_by: must be 1, 2, 4 or 8, got {self.upscale_by}.")
        if not 0 < self.denoise <= 1:
            raise ValueError(f"denoise: must be above 0 and at most 1, got {self.denoise}.")
        if not 0 <= self.structure <= 1:
            raise ValueError(f"structure: must be in 0..1, got {self.structure}; 0 is plain img2img.")


def enlarge_picture(
    pipeline: LandscapePipeline,
    picture: Tensor,
    params: EnlargeParams,
    on_step: Callable[[int, int], None] | None = None,
) -> Panorama:
    """The picture (1, 3, H, W) in [0, 1], `upscale_by` times as large."""
    encode = pipeline.autoencoder.encode
    large = nn.functional.interpolate(picture, scale_factor=float(params.upscale_by), mode="bicubic").clamp(0, 1)
    structure = StructureParams(scales=scales_for(params.upscale_by), strength=params.structure)
    canvas = Size(*(side // PIXELS_PER_CELL for side in canvas_size(large)))
    followed = structure.picture_size(canvas).scaled(PIXELS_PER_CELL)
    joint = JointParams(
        windows=landscape_windows(params.stride, batch=8, moving=params.moving, seed=params.seed),
        structure=structure if params.structure > 0 else None,
    )
    sigmas, before = partial_sigmas(params.steps, params.denoise), pipeline.views
    encoded = encode(large)
    start = noisy_start(encoded, params.seed, sigmas[0], params.denoise)
    if followed != canvas_size(large):  # there are scales between picture and result
        encoded = encode(nn.functional.interpolate(large, tuple(followed), mode="area"))
    latent = sample_jointly(pipeline, start, sigmas, params.prompt, params.cfg, joint, encoded, on_step)
    image = pipeline.decode(latent)
    if params.structure > 0:
        image = restored(image, picture, params.structure)
    return Panorama(image, pipeline.views - before)


def measure_enlarged(image: Tensor, picture: Tensor) -> dict[str, float]:
    """How well the image, made small again, agrees with the picture: PSNR in decibels. And how sharp it is."""
    small = nn.functional.interpolate(image, picture.shape[-2:], mode="area")
    return {"psnr": psnr(small, picture, max_val=1.0).item(), "sharpness": sharpness(image).item()}

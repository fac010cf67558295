"""Twin images sampled by the host: three pictures in one batch."""

import comfy.sample
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....core.canvas.windows import Size
from ....core.methods.twin_images import TwinImages
from ..latents import empty, latent_space
from ..settings import stride_of
from .sampler import joined_sampler
from .sampling import sample_joined


def sample_twin_images(
    model: ModelPatcher, size: Size, twin: TwinImages, *, seed: int, sampler_name: str, **as_in_ksampler
) -> Tensor:
    """I1, I2 and I2*, (3, C, ..., h, w) in the model's format; `size` is that of each picture in latent cells.

    All else is as in KSampler: positive, negative, steps, cfg, scheduler, and whatever is patched into the model.
    """
    latent = empty(latent_space(model), 3, size)
    return sample_joined(
        model,
        latent,
        twin.noise(comfy.sample.prepare_noise(latent, seed)),
        joined_sampler(sampler_name, latent.shape, twin),
        seed=seed,
        sampler_name=sampler_name,
        **as_in_ksampler,
    )


def overlap_of(model: ModelPatcher, size: Size, overlap: float) -> int:
    """Columns in latent cells nearest to a part of the width, on the model's grid.

    Raises:
        ValueError: that is none of them.
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap: must be in 0..1, a part of the width, got {overlap}; 0.5 is half a picture.")
    step = latent_space(model).grid
    columns = size.width - stride_of(size, overlap, step).width
    if columns < 1:
        raise ValueError(
            f"overlap: must be at least {step / size.width:.3g}, one step of the model's grid in this width, got "
            f"{overlap}; the pictures must share at least one step."
        )
    return columns

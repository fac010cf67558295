"""A batch whose rows belong together, sampled as KSampler samples, with a preview of all rows."""

from math import ceil, isqrt

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....core.canvas.windows import canvas_size
from ..ksampler import require_numbers

PREVIEW_CELLS = 128  # of the longer side of the sheet of rows: as large as a picture that previewers decode with ease


def sample_joined(
    model: ModelPatcher,
    latent: Tensor,
    noise: Tensor,
    sampler: comfy.samplers.Sampler,
    positive: list,
    negative: list,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float = 1.0,
) -> Tensor:
    """The sampled latent (N, C, ..., h, w), in the model's format.

    `latent`, zero or pictures to start from, and the noise have the same shape and format. `sampler` makes the rows
    belong together, around the one called `sampler_name`. All else is as in KSampler.

    Raises:
        ValueError: as `require_numbers`.
    """
    require_numbers(cfg, denoise)
    plan = comfy.samplers.KSampler(
        model, steps, model.load_device, sampler_name, scheduler, denoise, model_options=model.model_options
    )
    show = latent_preview.prepare_callback(model, steps)
    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        sampler,
        plan.sigmas,
        positive,
        negative,
        latent,
        # Previewers show the first row only.
        callback=lambda step, denoised, x, total: show(step, contact_sheet(denoised), x, total),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )


def contact_sheet(rows: Tensor) -> Tensor:
    """Pictures (N, C, ..., h, w) as one (1, C, ..., H, W), row by row, made smaller where there are many."""
    columns = isqrt(len(rows) - 1) + 1
    lines = ceil(len(rows) / columns)
    size = canvas_size(rows)
    shrink = max(1, columns * max(size) / PREVIEW_CELLS)
    small = [max(int(side / shrink), 1) for side in size]
    flat = torch.nn.functional.interpolate(rows.flatten(1, -3), small, mode="area")
    sheet = flat.new_zeros(lines * columns, *flat.shape[1:])
    sheet[: len(flat)] = flat
    sheet = torch.cat([torch.cat([*line], dim=-1) for line in sheet.unflatten(0, (lines, columns))], dim=-2)
    return sheet.reshape(1, *rows.shape[1:-2], *sheet.shape[-2:])

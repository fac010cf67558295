"""A zoom stack sampled by the host: all levels one batch, one prompt each, joined at every step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import comfy.sample
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....core.canvas.windows import canvas_size
from ....core.methods.powers_of_ten import render_noise
from ....core.zoom.geometry import nesting
from ..settings import joint_params
from .level_batches import LevelBatches
from .level_blending import StackBlender, ZoomBlending
from .level_prompts import of_all_levels
from .sampler import joined_sampler
from .sampling import sample_joined

KEY = "joint_diffusion_zoom"


@dataclass(frozen=True)
class JoinedStack:
    """A zoom stack as a `Joining`: its levels are what the sampler steps (Algorithm 2)."""

    join: Callable[[Tensor, int, int], Tensor]  # (denoised levels, step, steps) to consistent, blended, rendered levels
    noise: Callable[[Tensor], Tensor]  # turns independent noise into that of the stack

    def pictures(self, rows: Tensor, done: float, steps: int) -> Tensor:
        """The levels themselves."""
        return rows

    def rows(self, denoised: Tensor, done: float, steps: int) -> Tensor:
        """The joined levels."""
        return self.join(denoised, int(done), steps)


def sample_zoom_stack(
    model: ModelPatcher,
    latent: Tensor,
    levels: Sequence[list],
    negative: list,
    blending: ZoomBlending,
    *,
    vae,
    photograph: Tensor | None,
    seed: int,
    sampler_name: str,
    **as_in_ksampler,
) -> tuple[Tensor, Tensor]:
    """Samples as KSampler does, previews and progress included, any model, whatever other nodes have patched into it.

    Args:
        latent: (N, C, ..., h, w) in the model's format, zero or a stack to start from.
        levels, negative: N CONDITIONINGs, the most zoomed out first; and one for all.
        photograph: IMAGE (1, H, W, 3) for level 0 to show, or None.
        seed, sampler_name: as in KSampler; as also steps, cfg, scheduler, denoise.

    Returns:
        the latent (N, C, ..., h, w), and the levels as IMAGE (N, H, W, 3).

    Raises:
        ValueError: levels too small for p, the VAE of another model, or something on the model that takes one level
            for another or makes predictions that are no pictures, where pictures are joined.
    """
    nesting(canvas_size(latent), blending.zoom_factor)
    _refuse_what_mixes_levels_up(model)
    _refuse_guidance_in_pixels(model, blending)
    blender = StackBlender(model, vae, blending, photograph, canvas_size(latent))
    model = _with_level_batches(model, len(latent), blender)
    sampler = joined_sampler(
        sampler_name, latent.shape, JoinedStack(blender, partial(render_noise, zoom_factor=blending.zoom_factor))
    )
    try:
        sampled = sample_joined(
            model,
            latent,
            render_noise(comfy.sample.prepare_noise(latent, seed), blending.zoom_factor),
            sampler,
            of_all_levels(levels),
            negative,
            seed=seed,
            sampler_name=sampler_name,
            **as_in_ksampler,
        )
    finally:
        # The wrapper refers to the blender and the blender to the model. Without this, VAE and photograph would stay.
        blender.models = []
    return blender.finished(sampled)


def _refuse_what_mixes_levels_up(model: ModelPatcher) -> None:
    if model.model_options.get("context_handler") is not None:
        raise ValueError(
            "model: Zoom Stack Sampler cannot be combined with Context Windows, which take the levels of a batch for "
            "windows. Remove the node; for levels larger than the model's own size use Panorama Windows."
        )
    if getattr(model.model_options["transformer_options"].get("easycache"), "name", None) == "EasyCache":
        raise ValueError(
            "model: Zoom Stack Sampler cannot be combined with EasyCache, which would reuse the result of one level "
            "for the next. Use LazyCache, which sees whole stacks, or remove the node."
        )


def _refuse_guidance_in_pixels(model: ModelPatcher, blending: ZoomBlending) -> None:
    # Guidance by gradients adds the shift of the windows to the prediction (`Step.shift_kept`). The sum is no picture,
    # and a VAE would clip it.
    if blending.space != "latent" and joint_params(model).needs_gradients:
        raise ValueError(
            f"blending: must be latent for a model with guidance gradient, got {blending.space}: the VAE cannot encode "
            "what this guidance predicts. Choose latent here, or another guidance on the guidance node."
        )


def _with_level_batches(model: ModelPatcher, levels: int, blender: StackBlender) -> ModelPatcher:
    """A clone that gives each row its prompt. Windows are cut before, so the rows may be views."""

    def prepare_sampling(executor, patcher, noise_shape, *arguments, **options):
        # Memory for one level is enough: `LevelBatches` then takes as many as fit into what is free after loading.
        real_model, conds, others = executor(patcher, (1, *noise_shape[1:]), *arguments, **options)
        blender.models = [patcher, *others]
        return real_model, conds, others

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, LevelBatches(levels))
    clone.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, prepare_sampling)
    return clone

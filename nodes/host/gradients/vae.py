"""Pictures of latents, differentiable with respect to the latents, without leaving a trace in the VAE."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import comfy.model_management
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....core.canvas.decode import Decoder
from ..replaced import replaced
from .dead_ends import complaints_with_a_way_out
from .half_precision import evenly_scaled
from .inference_tensors import thawed
from .layers import as_the_host_runs_it
from .scope import differentiable, gradient_scope

WAY_OUT = 'Choose the loss "latent", which needs no VAE.'
ADDITIONAL_MODELS_KEY = "joint_diffusion_vae"

# Decoding and going back, with a perceptual loss behind it, holds this many times what the host estimates for decoding.
# What autograd keeps is 1.6 times the estimate for the VAE of SD (0.6 with checkpoints), 1.1 times for Wan's and
# Qwen-Image's; LPIPS keeps 500 numbers per pixel, which is 0.2 times as much in float32 and 0.5 beside a VAE in half.
GRADIENT_MEMORY = 3.0


def load_along(model: ModelPatcher, vae) -> None:
    """From now on the host loads the VAE whenever it loads `model`.

    Both then stay where they are during a run. Loading the VAE in the middle of it might unload the model, to which
    nobody would tell the host to come back.
    """
    model.set_additional_models(ADDITIONAL_MODELS_KEY, [vae.patcher])


def views_at_once(vae, latents: Tensor) -> float:
    """How many of `latents` (M, C, ..., h, w) free memory holds while they are decoded and the gradient comes back.

    Below 1 not even one view fits without checkpoints.
    """
    view = latents[:1, :, 0] if latents.ndim == 5 and vae.latent_dim == 2 else latents[:1]
    needed = GRADIENT_MEMORY * vae.memory_used_decode(view.shape, vae.vae_dtype)
    return vae.patcher.get_free_memory(vae.device) / needed


@contextmanager
def decoder_gradients(vae, checkpoint: bool = False) -> Iterator[Decoder]:
    """Yields a decoder whose pixels are differentiable with respect to the latents, and to nothing else.

    The decoder takes latents as the VAE gets them, (M, C, h, w) or (M, C, 1, h, w), and gives pixels (M, 3, H, W) in
    float32: [0, 1] is black to white, but what lies beyond is not cut off. The gradient would end there: white could
    not become less white.

    The backward pass must run inside, too. Alone, or inside of `input_gradients`; as there, `Backpropagation` runs
    passes of VAEs that write into what autograd has saved. With `checkpoint` the blocks of the VAE, if it lists them
    (Wan's and Qwen-Image's does not), are computed twice and their insides are not kept in between. Everything is as it
    was afterwards, also after an exception or an interrupt.

    Raises:
        RuntimeError: from the decoder or the backward pass: this VAE gives no gradient; the message names the way out.
    """
    _ensure_loaded(vae)
    with gradient_scope(), differentiable([vae.first_stage_model], checkpoint):
        yield lambda latents: _Picture.apply(thawed(latents), partial(_decode, vae))


@contextmanager
def latents_out(model: BaseModel) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yields the way from the latents of the diffusion model to those of its VAE, differentiable."""
    latent_format = vars(model.latent_format)
    with replaced([(latent_format, name, thawed(value)) for name, value in latent_format.items()]):
        yield model.process_latent_out


def _ensure_loaded(vae) -> None:
    """Without a request for working memory: how much is left decides how many views are decoded at once."""
    loaded = (patcher for patcher in comfy.model_management.loaded_models() if patcher is not None)
    if not any(vae.patcher.is_clone(patcher) for patcher in loaded):
        with as_the_host_runs_it():
            comfy.model_management.load_models_gpu([vae.patcher], force_full_load=vae.disable_offload)


def _decode(vae, latents: Tensor) -> Tensor:
    if latents.ndim == 5 and latents.shape[2] != 1:
        raise ValueError(
            f"samples: the losses that look at pictures compare single ones, got {latents.shape[2]} latent frames. "
            f"{WAY_OUT}"
        )
    if latents.ndim == 5 and vae.latent_dim == 2:
        latents = latents[:, :, 0]
    output = vae.first_stage_model.decode(latents.to(device=vae.device, dtype=vae.vae_dtype))
    is_picture = isinstance(output, Tensor) and output.ndim in (4, 5) and output.shape[1] >= 3
    if not is_picture or (output.ndim == 5 and output.shape[2] != 1):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"vae: must decode a latent to a picture, but this one gives {shape}. {WAY_OUT}")
    picture = output[:, :, 0] if output.ndim == 5 else output
    return _in_display_range(picture.float().to(latents.device), vae.process_output)[:, :3]


def _in_display_range(picture: Tensor, process_output: Callable[[Tensor], Tensor]) -> Tensor:
    """`process_output` without its cut to [0, 1], where it is a straight line in between, as for nearly all VAEs."""
    black, grey, light = (process_output(picture.new_full((1, *picture.shape[1:2], 1, 1), x)) for x in (0.0, 0.25, 0.5))
    if torch.allclose(light - grey, grey - black):
        return black + 4 * (grey - black) * picture
    return process_output(picture.clone())


class _Picture(torch.autograd.Function):
    """The pixels of latents.

    The decoder's graph is kept apart from the one around it, which holds the diffusion model: what autograd says of it
    is known to concern the VAE.
    """

    @staticmethod
    def forward(ctx: Any, latents: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Decode with a graph, if a gradient is wanted at all."""
        if not ctx.needs_input_grad[0]:
            return decode(latents)
        with torch.enable_grad(), complaints_with_a_way_out("this VAE", WAY_OUT):
            ctx.latents = latents.detach().requires_grad_()
            ctx.pixels = evenly_scaled(decode, ctx.latents)
            if not ctx.pixels.requires_grad:
                raise RuntimeError("its output is cut off from its input")
        return ctx.pixels.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """By way of the decoder's own graph."""
        with complaints_with_a_way_out("this VAE", WAY_OUT):
            (result,) = torch.autograd.grad(ctx.pixels, ctx.latents, gradient)
        return result, None

"""The host's VAE as the core's decoder."""

import comfy.model_management
import comfy.utils
from torch import Tensor

from ...core.decode import Decoder
from ...core.windows import Size


def decoder(vae, windows: int) -> Decoder:
    """`vae.decode` for that many windows: shows the progress and stops between windows when told to."""
    progress = comfy.utils.ProgressBar(windows)

    def decode(view: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        pixels = vae.decode(view).movedim(-1, -3)
        progress.update(1)
        return pixels

    return decode


def fits_in_memory(vae, latent: Tensor, window: Size) -> bool:
    """Whether the host expects to decode one window of `latent` without pushing other models out of memory."""
    needed = vae.memory_used_decode((1, *latent.shape[1:-2], *window), vae.vae_dtype)
    return needed <= vae.patcher.get_free_memory(vae.device) - vae.model_size()

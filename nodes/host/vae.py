"""The host's VAE as the core's decoder."""

import comfy.model_management
import comfy.utils
from torch import Tensor

from ...core.canvas.decode import Decoder
from ...core.canvas.windows import Size

# Of the device's memory; the rest belongs to the system and to what the host keeps for itself.
SHARE = 0.75


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
    """Whether a device that holds nothing but the VAE has room to decode one window of `latent`.

    Not what is free just now: the picture would depend on which other models happen to be loaded.
    """
    frames = latent.shape[2:-2] if vae.latent_dim == 3 else ()
    needed = vae.memory_used_decode((1, latent.shape[1], *frames, *window), vae.vae_dtype)
    return needed <= SHARE * comfy.model_management.get_total_memory(vae.device) - vae.model_size()


def require_latent_of(vae, latent: Tensor) -> None:
    """Refuse what this VAE cannot decode.

    Raises:
        ValueError: several streams at once, a wrong number of dimensions, or channels of another model.
    """
    if latent.is_nested:
        raise ValueError("samples: this latent holds several streams, such as video and audio; use VAE Decode.")
    if latent.ndim not in (4, 5):
        raise ValueError(
            f"samples: must be a latent of 4 (B, C, H, W) or 5 (B, C, T, H, W) dimensions, got shape "
            f"{tuple(latent.shape)}; connect the output of a sampler."
        )
    if latent.shape[1] != vae.latent_channels:
        raise ValueError(
            f"samples: this latent has {latent.shape[1]} channels, but the VAE decodes {vae.latent_channels}; "
            "use the VAE that belongs to the model."
        )

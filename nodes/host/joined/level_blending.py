"""What joins the levels of a zoom stack at each step, in pixels or in latents."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....core.canvas.decode import Decoder
from ....core.canvas.windows import Size, canvas_size
from ....core.methods.powers_of_ten import blend, fit_photograph, render_image
from ....core.zoom.one_space import joined_in_one_space
from ..latents import encode, latent_space, require_vae_of, scale_map_of
from ..vae import decoder, opaque

Space = Literal["pixel", "latent", "mixed"]
SPACES: tuple[Space, ...] = get_args(Space)
# Blending and rendering need the memory of so many stacks beside the one they are given, measured.
WORKING_STACKS = 7


@dataclass(frozen=True, kw_only=True)
class ZoomBlending:
    """How the levels are joined.

    Attributes:
        zoom_factor: p, between neighbouring levels.
        space: `pixel` through the VAE as in the paper, `latent` in the latents themselves, or `mixed`: in pixels in
            some steps, in latents in the others.
        pixel_every: mixed: every so many steps in pixels, counted from the last one ...
        pixel_from, pixel_to: ... within this part of the steps, 0..1.
        photograph_steps, photograph_rate: Adam steps towards the photograph at each step, and their rate, for images
            in -1..1 (or in units of the latents).
    """

    zoom_factor: int
    space: Space = "pixel"
    pixel_every: int = 1
    pixel_from: float = 0.0
    pixel_to: float = 1.0
    photograph_steps: int = 5
    photograph_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"blending: must be one of {', '.join(SPACES)}, got {self.space!r}.")
        if self.pixel_every < 1:
            raise ValueError(f"pixel_every: must be at least 1, got {self.pixel_every}; 1 is every step.")
        if not 0 <= self.pixel_from <= self.pixel_to <= 1:
            raise ValueError(
                f"pixel_from, pixel_to: must be parts of the steps with 0 <= from <= to <= 1, got {self.pixel_from} "
                f"and {self.pixel_to}."
            )

        for name, value in (("photograph_steps", self.photograph_steps), ("photograph_rate", self.photograph_rate)):
            if not value >= 0:
                raise ValueError(f"{name}: must be 0 or more, got {value}; 0 leaves the photograph out.")

    def in_pixels(self, step: int, steps: int) -> bool:
        """Whether step 0..steps - 1 joins pixels."""
        if self.space != "mixed":
            return self.space == "pixel"
        progress = step / max(steps - 1, 1)
        return self.pixel_from <= progress <= self.pixel_to and (steps - 1 - step) % self.pixel_every == 0


class Photograph(NamedTuple):
    """What level 0 must show."""

    pixels: Tensor  # (3, H, W), -1..1
    latent: Tensor  # (C, ..., h, w), in the model's space


class StackBlender:
    """Denoised predictions of N levels to those of one zoom stack: the blending and rendering of Algorithm 2."""

    def __init__(self, model: ModelPatcher, vae, blending: ZoomBlending, photograph: Tensor | None, size: Size):
        """`photograph` is an IMAGE (1, H, W, 3) of any size or None; `size` that of the levels in latent cells.

        Raises:
            ValueError: the VAE is that of another model.
        """
        self.models: list[ModelPatcher] = []  # what sampling needs on the device, once it is there
        self._model = model.model
        self._vae = vae
        self._space = latent_space(model)
        require_vae_of(self._space, vae)
        self._blending = blending
        self._photograph = None if photograph is None else self._fitting(photograph, size)

    def __call__(self, denoised: Tensor, step: int, steps: int) -> Tensor:
        """(N, C, ..., h, w) in the model's space, consistent with one another."""
        if not self._blending.in_pixels(step, steps):
            return self._in_latents(denoised, self._joined_latents)
        # Without a progress of its own: the node shows that of the sampler.
        pixels = self._decoded(self._model.process_latent_out(denoised), decoder(self._vae))
        pixels = where_there_is_room(pixels, denoised.device)
        photograph = self._photograph and opaque(self._photograph.pixels, pixels.shape[1])
        pixels = self._joined_pixels(pixels, photograph)
        latent = self._encoded(pixels, canvas_size(denoised)).to(denoised)
        comfy.model_management.load_models_gpu(self.models)  # the VAE may have pushed them out of memory
        return self._model.process_latent_in(latent)

    def finished(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The latent (N, C, ..., h, w) and its pictures (N, H, W, 3) in 0..1, which agree but for the finest details.

        The pictures are rendered once more, because some samplers leave a little noise and the VAE decodes each level
        by itself. The latent is rendered only if nothing but latents was joined: after joining in pixels it stays as it
        was sampled.
        """
        if self._blending.space == "latent":
            latent = self._in_latents(latent, self._rendered)
        pixels = self._decoded(latent, decoder(self._vae, len(latent)))
        return latent, _to_image(self._joined_pixels(pixels, None))

    def _in_latents(self, latent: Tensor, join: Callable[[Tensor], Tensor]) -> Tensor:
        return joined_in_one_space(latent, self._blending.zoom_factor, scale_map_of(self._model), join)

    def _joined_latents(self, latent: Tensor) -> Tensor:
        return self._rendered(self._layers(latent, self._photograph and self._photograph.latent, 1))

    def _rendered(self, layers: Tensor, pixels_per_cell: int = 1) -> Tensor:
        return render_image(layers, self._blending.zoom_factor, pixels_per_cell, decoded=pixels_per_cell > 1)

    def _joined_pixels(self, pixels: Tensor, photograph: Tensor | None) -> Tensor:
        # The sum of bands from several levels may exceed the range of pixels, in the layers and in a decoded centre.
        layers = self._layers(pixels, photograph, self._space.pixels_per_cell).clamp(-1, 1)
        return self._rendered(layers, self._space.pixels_per_cell).clamp(-1, 1)

    def _layers(self, levels: Tensor, photograph: Tensor | None, pixels_per_cell: int) -> Tensor:
        how = self._blending
        if photograph is not None:
            levels = fit_photograph(
                levels,
                photograph.to(levels),
                how.zoom_factor,
                steps=how.photograph_steps,
                lr=how.photograph_rate,
                pixels_per_cell=pixels_per_cell,
            )
        return blend(levels, how.zoom_factor, pixels_per_cell, decoded=pixels_per_cell > 1)

    def _decoded(self, latent: Tensor, decode: Decoder) -> Tensor:
        """(N, 3, H, W) in -1..1, decoded one level after the other; 4 channels if the VAE paints transparency."""
        pictures = [decode(level[None]).flatten(0, -4) for level in latent]
        return 2 * torch.cat(pictures) - 1

    def _encoded(self, pixels: Tensor, size: Size) -> Tensor:
        return encode(self._vae, _to_image(pixels), self._space, size)

    def _fitting(self, photograph: Tensor, size: Size) -> Photograph:
        height, width = size.height * self._space.pixels_per_cell, size.width * self._space.pixels_per_cell
        pixels = comfy.utils.common_upscale(photograph.movedim(-1, 1), width, height, "lanczos", "center")
        latent = encode(self._vae, pixels.movedim(1, -1), self._space, size)
        return Photograph(2 * pixels[0] - 1, self._model.process_latent_in(latent)[0])


def where_there_is_room(pixels: Tensor, device: torch.device) -> Tensor:
    """A stack on the device that blends fast, or where the VAE has left it if there is too little memory."""
    free = comfy.model_management.get_free_memory(device)
    return pixels.to(device) if (1 + WORKING_STACKS) * pixels.nbytes <= free else pixels


def _to_image(pixels: Tensor) -> Tensor:
    """(N, 3, H, W) in -1..1 to IMAGE (N, H, W, 3) in 0..1."""
    return ((pixels + 1) / 2).movedim(1, -1)

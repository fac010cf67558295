"""Pictures in ComfyUI's own model patches, brought to the size of a canvas as the patches themselves do for theirs.

A patch fits its picture to the size of what the model is shown, from the centre, and keeps it encoded. So a window is
given the part that lies in it beforehand, encoded, and the patch finds that it has the size that it needs.

The patches are known by name: ComfyUI loads the files of its extra nodes so that nobody can import the same class.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ....core.canvas.windows import Size, Window
from .spatial import cut

Parts = dict[str, Callable[[Window], Any]]
"""By the name of an attribute, what it holds while the model sees a window of the canvas."""


def _diffsynth(carrier: Any, canvas: Size) -> Parts:
    """Of Qwen-Image: one token for each block of cells, which is embedded without looking at others."""

    def encode(image: Tensor) -> Tensor:
        return carrier.model_patch.model.process_input_latent_image(carrier.encode_latent_cond(image))

    tokens = _encoded(carrier, canvas, lambda pixels: encode(_fitted(carrier.image, pixels)))
    block = 2  # cells
    blocks = -(-canvas.height // block), -(-canvas.width // block)
    picture = tokens.transpose(-1, -2).unflatten(-1, blocks)
    return {
        "encoded_image": lambda window: _cut(picture, window, canvas).flatten(-2).transpose(-1, -2),
        **_size(carrier),
    }


def _z_image_fun(carrier: Any, canvas: Size) -> Parts:
    latent = _encoded(
        carrier,
        canvas,
        lambda pixels: carrier.encode_latent_cond(
            *(None if image is None else _fitted(image, pixels) for image in (carrier.image, carrier.inpaint_image))
        ),
    )
    return {
        "encoded_image": lambda window: _cut(latent, window, canvas),
        **_size(carrier),
        "temp_data": lambda window: None,  # what it has begun with another window
    }


def _anima_lllite(carrier: Any, canvas: Size) -> Parts:
    pixels = canvas.scaled(8)  # as ComfyUI has it there

    def fitted(image: Tensor, method: str) -> Tensor:
        return comfy.utils.common_upscale(image, pixels.width, pixels.height, method, "center")

    image = fitted(carrier.image.movedim(-1, 1), "bicubic")
    parts: Parts = {"image": lambda window: _cut(image, window, canvas).movedim(1, -1)}
    if carrier.mask is not None:
        mask = fitted((carrier.mask.unsqueeze(1) if carrier.mask.ndim == 3 else carrier.mask).float(), "nearest-exact")
        parts["mask"] = lambda window: _cut(mask, window, canvas)
    return parts


PICTURES: dict[str, Callable[[Any, Size], Parts]] = {
    "DiffSynthCnetPatch": _diffsynth,
    "ZImageControlPatch": _z_image_fun,
    "AnimaLLLitePatch": _anima_lllite,
}
# A style has no place in the picture. But its patch takes a single row, as ComfyUI samples such a picture.
STYLES = ("UsoStyleProjectorPatch",)


def _encoded(carrier: Any, canvas: Size, encode: Callable[[Size], Tensor]) -> Tensor:
    """What the patch would encode for the whole canvas, or has."""
    pixels = canvas.scaled(carrier.vae.spacial_compression_encode())
    if carrier.encoded_image is not None and tuple(carrier.encoded_image_size) == pixels:
        return carrier.encoded_image
    loaded = comfy.model_management.loaded_models(only_currently_used=True)
    with torch.no_grad():
        encoded = encode(pixels)
    comfy.model_management.load_models_gpu(loaded)  # the VAE may have taken their place
    return encoded


def _size(carrier: Any) -> Parts:
    pixels_per_cell = carrier.vae.spacial_compression_encode()
    return {"encoded_image_size": lambda window: tuple(window.size.scaled(pixels_per_cell))}


def _fitted(image: Tensor, pixels: Size) -> Tensor:
    return comfy.utils.common_upscale(image.movedim(-1, 1), pixels.width, pixels.height, "area", "center").movedim(
        1, -1
    )


def _cut(picture: Tensor, window: Window, canvas: Size) -> Tensor:
    return cut("the picture of a model patch", picture, window, canvas).contiguous()

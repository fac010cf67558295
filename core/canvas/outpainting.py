"""An image placed on a larger canvas, and the mask of the rest, for outpainting."""

import torch
from torch import Tensor

from .windows import Size, Window


def fit_inside(canvas: Size, image: Size, image_scale: float = 1.0) -> Size:
    """Size of an image on the canvas, in cells of the canvas; proportions are kept, up to rounding.

    `image` is its size in any unit, and `image_scale`, above 0 and at most 1, the part of the largest size that fits.

    Raises:
        ValueError: an `image_scale` outside that range.
    """
    if not 0 < image_scale <= 1:
        raise ValueError(
            f"image_scale: must be above 0 and at most 1 (as large as the canvas holds), got {image_scale}."
        )
    scale_factor = image_scale * min(canvas.height / image.height, canvas.width / image.width)
    return Size(max(round(image.height * scale_factor), 1), max(round(image.width * scale_factor), 1))


def place(canvas: Size, image: Size, image_x: float, image_y: float) -> Window:
    """The window of the image. image_x and image_y, 0..1, are 0 at the left and top edge, 1 at the opposite edge.

    Raises:
        ValueError: image_x or image_y outside 0..1.
    """
    for name, anchor in (("image_x", image_x), ("image_y", image_y)):
        if not 0 <= anchor <= 1:
            raise ValueError(f"{name}: must be in 0..1 (0 is the left or top edge, 1 the opposite one), got {anchor}.")
    top, left = round((canvas.height - image.height) * image_y), round((canvas.width - image.width) * image_x)
    return Window(top, left, *image)


def mask_outside(canvas: Size, image: Window, feather: int = 0) -> Tensor:
    """The mask of what is to be painted, (H, W) float32: 1 outside the image, 0 in it.

    It falls linearly from 1 to 0 over the `feather` outermost cells of the image, but not at an edge of the canvas.

    Raises:
        ValueError: a negative feather.
    """
    if feather < 0:
        raise ValueError(f"feather: must be 0 or more latent cells, got {feather}.")
    rows = _kept(canvas.height, image.top, image.height, feather)
    columns = _kept(canvas.width, image.left, image.width, feather)
    return 1 - torch.minimum(rows[:, None], columns)


def _kept(canvas: int, start: int, length: int, feather: int) -> Tensor:
    inside = torch.arange(canvas) - start
    ramp = torch.ones(canvas)
    if start > 0:
        ramp = torch.minimum(ramp, (inside + 1) / (feather + 1))
    if start + length < canvas:
        ramp = torch.minimum(ramp, (length - inside) / (feather + 1))
    return ramp.clamp(min=0)

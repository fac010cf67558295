"""Placing an image on a larger canvas, and the mask of what is left to paint."""

import torch
from torch import Tensor

from .windows import Size, Window


def fit_inside(canvas: Size, image: Size, image_scale: float = 1.0) -> Size:
    """Size of an image of any unit on the canvas, its proportions kept to the nearest cell.

    Scale 1 is the largest size that the canvas holds, 0.5 half of that.
    """
    if not 0 < image_scale <= 1:
        raise ValueError(
            f"image_scale: must be above 0 and at most 1 (as large as the canvas holds), got {image_scale}."
        )
    factor = image_scale * min(canvas.height / image.height, canvas.width / image.width)
    return Size(max(round(image.height * factor), 1), max(round(image.width * factor), 1))


def place(canvas: Size, image: Size, image_x: float, image_y: float) -> Window:
    """The window that the image takes: image_x and image_y are 0 at the left and top, 1 at the right and bottom."""
    for name, anchor in (("image_x", image_x), ("image_y", image_y)):
        if not 0 <= anchor <= 1:
            raise ValueError(f"{name}: must be in 0..1 (0 is the left or top edge, 1 the opposite one), got {anchor}.")
    top, left = round((canvas.height - image.height) * image_y), round((canvas.width - image.width) * image_x)
    return Window(top, left, *image)


def mask_outside(canvas: Size, image: Window, feather: int = 0) -> Tensor:
    """What to paint, (H, W) float32: 1 outside the image, 0 in it.

    Over the `feather` outermost cells of the image the mask falls linearly from 1 to 0, except where the image ends
    at the canvas edge and there is nothing to meet.
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

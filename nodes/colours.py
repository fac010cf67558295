"""Pictures of red, green and blue, out of IMAGEs of any number of channels."""

import logging

from torch import Tensor

log = logging.getLogger(__name__)


def colours_of(field: str, images: Tensor) -> Tensor:
    """IMAGE (B, H, W, C) as pictures (B, H, W, 3). Grey becomes a colour; an alpha channel is left out.

    The log says so, and names `field`, the input that the images come from.

    Raises:
        ValueError: no picture.
    """
    require_pictures(field, images)
    channels = images.shape[-1]
    if channels not in (1, 3):
        log.warning(
            "%s: must have 1 channel, grey, or 3, red, green and blue, got %d; the others are left out, so what is "
            "transparent becomes opaque. Remove them before, with Split Image with Alpha.",
            field,
            channels,
        )
    return images[..., :3] if channels >= 3 else images[..., :1].repeat(1, 1, 1, 3)


def require_pictures(field: str, images: Tensor) -> None:
    """Refuse a batch without a picture.

    Raises:
        ValueError: it has none.
    """
    if not len(images):
        raise ValueError(f"{field}: must be at least 1 picture, got an empty batch; connect one.")

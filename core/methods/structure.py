"""Enlarging a picture at any noise level: the canvas keeps the structure of the picture, the model adds detail.

The correction is that of Multi-Scale Diffusion (`multiscale.projection`). The picture itself is the coarsest canvas, so
the model is asked about one canvas less. With w = 1 the result, made smaller again, is the picture: that is the
range-null-space decomposition of DDNM (Wang, Yu and Zhang, ICLR 2023, Eq. 6) with average pooling as its operator.

The picture is encoded at the size of the canvas that follows it, and averaged as that canvas is. The latent of a small
picture would be another one: on the bundled model, its edges come out two pixels off, and a grid of cells appears.
"""

from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor, nn

from ..canvas.resample import enlarge_bicubic
from ..canvas.windows import NO_WRAP, Size, Wrap, canvas_size
from ..correction import RollOff
from ..step import Step
from .multidiffusion import WindowParams
from .multiscale import FACTOR, MOST_SCALES, least_side, scale_sizes
from .multiscale import ROLL_OFF as BETWEEN

ROLL_OFF = RollOff(full=0.5, none=0.03)
# Difference of colours, in 0..1, at which 1 / e of the details is left if the picture is enlarged by 2. An edge painted
# beside its place would be there twice without this. From 0.3 to 0.04 edges get cleaner and the picture softer. It
# grows with the area of a pixel of the picture, in which ever more can be painted.
TRUSTED = 0.08


@dataclass(frozen=True, kw_only=True)
class StructureParams:
    """How closely a canvas follows a picture.

    Attributes:
        scales: resolutions from the canvas down to the picture, 2..4, each half of the one before: 2 for a picture of
            half the size of the canvas.
        strength: 0 (not at all) to 1.
        roll_off: where in the sampling the strength falls.
    """

    scales: int = 2
    strength: float = 1.0
    roll_off: RollOff = ROLL_OFF

    def __post_init__(self) -> None:
        if not 2 <= self.scales <= MOST_SCALES:
            raise ValueError(f"scales: must be in 2..{MOST_SCALES}, got {self.scales}.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength: must be in 0..1, got {self.strength}.")

    def strength_at(self, step: Step) -> float:
        """The strength in this step, 0..1."""
        return self.strength * self.roll_off.at(step.noise)

    def strength_between(self, step: Step) -> float:
        """The strength for a canvas that follows one which is painted itself, between it and the picture.

        That one knows the layout better and the textures no better, as the coarse canvas of Multi-Scale Diffusion.
        """
        return self.strength * BETWEEN.at(step.noise)

    def scales_at(self, step: Step) -> int:
        """How many coarser canvases one follows in this step, the picture among them."""
        follows = self.strength_at(step) > 0 and (self.scales == 2 or self.strength_between(step) > 0)
        return self.scales - 1 if follows else 0

    def picture_size(self, canvas: Size) -> Size:
        """The size in latent cells at which the picture must be encoded for this canvas: twice the coarsest scale."""
        return scale_sizes(canvas, self.scales)[-2]


def check_structure(canvas: Size, windows: WindowParams, params: StructureParams) -> None:
    """Check that the canvas and those between it and the picture are large enough. Call it before anything is encoded.

    Raises:
        ValueError: one of those between is smaller than a window along an axis that wraps, or the canvas is smaller
            than `least_side`.
    """
    for between in scale_sizes(canvas, params.scales - 1)[1:]:
        for axis, side, window, wraps in zip(("height", "width"), between, windows.window, windows.wrap, strict=True):
            if wraps and side < window:
                raise ValueError(
                    f"structure: an enlargement by more than 2 is painted at smaller sizes too, and here the {axis} "
                    f"comes down to {side} latent cells and must be at least {window}, a window (it wraps); enlarge by "
                    "at most 2 at a time, make the windows smaller, or turn wrap off."
                )
    for axis, side in zip(("height", "width"), canvas, strict=True):
        if side < least_side(params.scales):
            raise ValueError(
                f"structure: the canvas is compared with the picture at 1/{FACTOR ** (params.scales - 1)} of its size, "
                f"so its {axis} must be at least {least_side(params.scales)} latent cells, got {side}; choose a canvas "
                f"of a larger {axis}{' or a larger picture' if params.scales > 2 else ''}, or set structure to 0."
            )


def scales_for(enlargement: float) -> int:
    """The number of scales at which a picture is not enlarged before it is followed: 2 for 1..2, 3 for 2..4, 4 above.

    Raises:
        ValueError: an enlargement below 1 or above 8.
    """
    if not 1 <= enlargement <= FACTOR ** (MOST_SCALES - 1):
        raise ValueError(f"enlargement: must be in 1..{FACTOR ** (MOST_SCALES - 1)}, got {enlargement:g}.")
    return 1 + max(1, ceil(log2(enlargement) - 1e-9))


def restored(image: Tensor, picture: Tensor, strength: float = 1.0, wrap: Wrap = NO_WRAP) -> Tensor:
    """The decoded result with what the picture shows put back: the same decomposition as above, in pixels.

    With w = 1 the result, made smaller again, is the picture. The autoencoder and the end of the sampling, which is
    free, move edges and colours by a little. Details of the image stay where it agrees with the picture.

    Args:
        image: (B, C, H, W) in [0, 1], the enlarged picture.
        picture: (1 or B, C, h, w), at most as large. What is smaller than two pixels of the image is not kept.
        strength: w, 0..1.
        wrap: edges that are joined.
    """
    size = canvas_size(image)
    small = Size(*(min(side, max(whole // 2, 1)) for side, whole in zip(canvas_size(picture), size, strict=True)))
    picture, seen = _smaller(picture, small), _smaller(image, small)
    trusted = TRUSTED * (size.height * size.width) / (4 * small.height * small.width)
    trust = (-((picture - seen).abs().mean(dim=1, keepdim=True) / trusted).square()).exp()
    trust, result = enlarge_bicubic(trust, size, wrap).clamp(0, 1), torch.empty_like(image)
    for channel in range(image.shape[1]):  # one by one: large pictures take gigabytes
        one = slice(channel, channel + 1)
        details = (image[:, one] - enlarge_bicubic(seen[:, one], size, wrap)).mul_(trust)
        found = details.add_(enlarge_bicubic(picture[:, one], size, wrap))
        missing = picture[:, one] - _smaller(found, small)  # bicubic pixels are no right inverse of their mean
        found += enlarge_bicubic(missing, size, wrap)
        torch.lerp(image[:, one], found, strength, out=result[:, one]).clamp_(0, 1)
    return result


def _smaller(image: Tensor, size: Size) -> Tensor:
    return nn.functional.interpolate(image, tuple(size), mode="area")

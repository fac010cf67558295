"""The latents of all levels of a zoom in one space, in which a mean of cells is what the level outside shows.

The mean over p x p cells of a level is not the latent of what the level outside it shows there (`methods.scale_map`).
Levels that are averaged or rendered as if it were get cells that the decoder has never seen: a woven grid, and a
rectangle where the next level begins. With y_i = C^-i z_i, C the map between two scales, means of y_(i+1) and y_i agree
wherever the pictures do. So the levels are joined as y, as if there were no decoder, and are latents again afterwards.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..methods.scale_map import ScaleMap

HAVE_FLOAT64 = ("cpu", "cuda")  # types of devices; Apple's GPUs and some of Intel's do not


def joined_in_one_space(
    levels: Tensor, zoom_factor: int, scale_map: ScaleMap | None, join: Callable[[Tensor], Tensor]
) -> Tensor:
    """`join` of the levels (N, C, ..., H, W), in the space of the outermost one.

    Without a map, or with a zoom factor that is no power of 2, the scale of the map, the levels are joined as they are.
    The powers of C span a large range, so everything is computed in float64: in main memory for devices without it.
    """
    doublings = zoom_factor.bit_length() - 1
    if scale_map is None or zoom_factor != 2**doublings:
        return join(levels)
    place = levels.device if levels.device.type in HAVE_FLOAT64 else torch.device("cpu")
    whole = levels.to(place, torch.float64)
    matrix, offset = scale_map.matrix.to(whole), scale_map.offset.to(whole)
    inverse = torch.inverse(matrix)
    to_outside = ScaleMap(inverse, -inverse @ offset)
    common = torch.stack([_repeated(to_outside, level, i * doublings) for i, level in enumerate(whole)])
    apart = [_repeated(scale_map, level, i * doublings) for i, level in enumerate(join(common))]
    return torch.stack(apart).to(levels)


def _repeated(scale_map: ScaleMap, level: Tensor, times: int) -> Tensor:
    for _ in range(times):
        level = scale_map(level[None])[0]
    return level

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


def joined_in_one_space(
    levels: Tensor, zoom_factor: int, scale_map: ScaleMap | None, join: Callable[[Tensor], Tensor]
) -> Tensor:
    """`join` of the levels (N, C, ..., H, W), in the space of the outermost one.

    Without a map, or with a zoom factor that is no power of 2, the scale of the map, the levels are joined as they are.
    The powers of C span a large range, so everything is computed in float64.
    """
    doublings = zoom_factor.bit_length() - 1
    if scale_map is None or zoom_factor != 2**doublings:
        return join(levels)
    matrix, offset = scale_map.matrix.to(levels.device).double(), scale_map.offset.to(levels.device).double()
    inverse = torch.inverse(matrix)
    to_outside = ScaleMap(inverse, -inverse @ offset)
    whole = levels.double()
    common = torch.stack([_repeated(to_outside, level, i * doublings) for i, level in enumerate(whole)])
    apart = [_repeated(scale_map, level, i * doublings) for i, level in enumerate(join(common))]
    return torch.stack(apart).to(levels.dtype)


def _repeated(scale_map: ScaleMap, level: Tensor, times: int) -> Tensor:
    for _ in range(times):
        level = scale_map(level[None])[0]
    return level

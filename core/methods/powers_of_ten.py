"""Generative Powers of Ten: one scene at many zoom levels, consistent with one another at every step.

Wang et al., "Generative Powers of Ten", 2023, sections 4.1 to 4.4. All levels are one batch (N, C, ..., H, W), the most
zoomed out first; level i + 1 shows the centre of level i, p times larger (`zoom.geometry`). A step of Algorithm 2 is
`denoised = render_image(blend(D(x)))`. Noise that a sampler adds comes from `render_noise`.

Two things differ from Algorithm 2. Its first line starts each level from independent noise; callers here start from
`render_noise`, because a sampler that adds no noise has no other. And its first update takes the empty stack (L_T = 0)
for the prediction; here every update takes a prediction of the model.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..canvas.resample import downsample
from ..canvas.windows import Size, Window, canvas_size, crop
from ..zoom.geometry import Nesting, footprints, levels_nesting
from ..zoom.pyramid import enlarge, join, split
from ..zoom.smoothstep import smoothstep

FEATHER = 0.125  # sides of a level; `python -m benchmarks.figures zoom`: energy of frames 1.05, and 1 is none
ADAM_DECAY = (0.9, 0.999)
ADAM_EPSILON = 1e-8


def render_image(levels: Tensor, zoom_factor: int, pixels_per_cell: int = 1, decoded: bool = False) -> Tensor:
    """Pi_image of Algorithm 1 for every level: the centre of level i shows the levels inside it.

    Convention:
        - downsampling is the mean over p x p cells. With the paper's truncated Gaussian (section 4.1) the rendered
          levels would not agree exactly
        - the centre of rendered level i is the downsampled rendered level i + 1. For sizes that nest without a rest
          this is Algorithm 1; for others a cell may show parts of two layers
        - a decoder gives softer details than a downsampled picture has. By Algorithm 1 the level inside would stand in
          the middle as a rectangle of another texture. So if `decoded`, each level keeps its own finest band there, as
          in `blend`, and rendered levels agree in all other bands

    Args:
        levels: (N, C, ..., H, W), two or more layers L_i of the zoom stack.
        zoom_factor: p, between neighbouring levels, 2 or more.
        pixels_per_cell: side of the blocks of `levels` that are not divided; for pictures that must nest like their
            latents.
        decoded: whether the layers were decoded from latents; False is the paper.

    Returns:
        (N, C, ..., H, W), with the dtype of `levels`; half precision is computed in float32.

    Raises:
        ValueError: as `levels_nesting`.
    """
    # Where the centre has coarser cells; a small one has none.
    coarser = footprints(canvas_size(levels), zoom_factor, pixels_per_cell)[1:] if decoded else ()

    def shown(centre: Tensor, inside: Tensor) -> Tensor:
        if not coarser:
            return inside
        block = coarser[0].inner
        return join(
            split(centre, zoom_factor, block).band, split(inside, zoom_factor, block).coarse, zoom_factor, block
        )

    return _render(levels, zoom_factor, pixels_per_cell, shown)


def render_noise(noise: Tensor, zoom_factor: int) -> Tensor:
    """Pi_noise of Algorithm 1 for every level: the centre of level i is the noise of the levels inside it.

    The centre of level i is p times the mean over p x p cells of level i + 1. The mean has variance 1 / p^2, so
    independent N(0, 1) noise gives exactly independent N(0, 1) noise within each level. The paper multiplies by the
    same p_j / p_i = p^(j-i), but after a truncated Gaussian filter (section 4.1), which leaves more variance than the
    mean. Arguments and errors as in `render_image`.
    """
    return _render(noise, zoom_factor, 1, lambda _, inside: zoom_factor * inside)


def _render(
    levels: Tensor, zoom_factor: int, pixels_per_cell: int, shown: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Every centre becomes what is `shown` there, of the centre and the downsampled level inside it."""
    outer, inner = levels_nesting(levels, zoom_factor, pixels_per_cell)
    rendered = _computable(levels).clone()
    for level in reversed(range(len(rendered) - 1)):
        centre = crop(rendered[level], outer)
        centre.copy_(shown(centre, downsample(crop(rendered[level + 1], inner), zoom_factor)))
    return rendered.to(levels.dtype)


def blend(
    denoised: Tensor, zoom_factor: int, pixels_per_cell: int = 1, feather: float = FEATHER, decoded: bool = False
) -> Tensor:
    """Multi-resolution blending (section 4.2): the denoised levels become the layers of one zoom stack.

    Layer i is an average of the observations x_j, j <= i: each is cropped to the area of level i and enlarged p^(i-j)
    times. The average is taken in every band of their Laplacian pyramids, over the observations that have information
    in the band.

    Convention:
        - **j <= i**, as in the caption of Figure 5. The text of section 4.2 says "all samples j >= i", but also "from
          all further zoomed-out levels", which are j <= i. The levels j > i reach the picture by `render_image`
        - bands are a factor p apart. An observation that is enlarged p^k times has nothing in the k finest bands
          (`pyramid`). So the finest band of layer i is that of x_i, the next one is the mean of two, and so on
        - if level i covers less than one cell of x_j, then x_j does not count
        - near its border, x_i does not depend on the surroundings of level i. There its weight falls to 0 in all bands
          except the finest. The paper's plain average (`feather` 0) leaves a frame in the level outside
        - a decoder blurs the finest band of its pictures. The plain average would reduce the contrast of the second
          band of layer i, and a little more at every step. So if `decoded`, the finest band of x_j counts in the
          layers i > j only near the border of level i

    The sum of pyramids is the pyramid of the sum, so x_j is added at its own resolution and nothing is enlarged to full
    size. Time and memory are a small multiple of those of the levels.

    Args:
        denoised: (N, C, ..., H, W), two or more observations x_i.
        zoom_factor: p.
        pixels_per_cell: as in `render_image`.
        feather: width of the border of level i in sides, 0..0.5.
        decoded: whether the observations were decoded from latents; False is the paper, whose model has no latents.

    Raises:
        ValueError: a feather outside 0..0.5, and as `levels_nesting`.
    """
    levels_nesting(denoised, zoom_factor, pixels_per_cell)
    if not 0 <= feather <= 0.5:
        raise ValueError(f"feather: must be in 0..0.5 sides of a level, got {feather}; 0 is the paper's plain average.")
    observed = _computable(denoised)

    def merge(own: Tensor, others: Tensor, count: int, nestings: Sequence[Nesting]) -> Tensor:
        """The last len(own) layers at one resolution, of `own` and the sums `others` of `count` zoomed-out ones.

        The first of them has met all its observations, so it is averaged in all bands at once. For those after it,
        the finest band is averaged here, and in the next one there is an observation more.
        """
        if not nestings or len(own) == 1:
            return _mean(own, others, count, feather)
        (outer, inner), *further = nestings
        own_band, own_coarse = split(own[1:], zoom_factor, inner)
        band, coarse = split(others[1:], zoom_factor, inner)
        coarser = merge(own_coarse, coarse + crop(observed[: len(own) - 1], outer), count + 1, further)
        layers = joined(_mean(own_band, band, count, feather), coarser, inner)
        return torch.cat([_mean(own[:1], others[:1], count, feather), layers])

    def merge_decoded(own: Tensor, others: Tensor, nearest: Tensor, count: int, nestings: Sequence[Nesting]) -> Tensor:
        """The same for decoded ones: inside, `own` stands for `nearest`, the last of `others`, in its finest band."""
        if not nestings:
            return _mean(own, others, count, feather)
        (outer, inner), *further = nestings
        own_band, own_coarse = split(own, zoom_factor, inner)
        band, coarse = split(others, zoom_factor, inner)
        inside = _border_weight(canvas_size(own), feather).to(own)
        band = (band + inside * (own_band - split(nearest, zoom_factor, inner).band)) / count
        coarser = _mean(own_coarse[:1], coarse[:1], count, feather)
        if len(own) > 1:
            nearest = crop(observed[: len(own) - 1], outer)
            rest = merge_decoded(own_coarse[1:], coarse[1:] + nearest, nearest, count + 1, further)
            coarser = torch.cat([coarser, rest])
        return joined(band, coarser, inner)

    def joined(band: Tensor, coarse: Tensor, block: Window) -> Tensor:
        # Weights that vary within a coarse cell change its mean. The split removes that from the band.
        return join(split(band, zoom_factor, block).band, coarse, zoom_factor, block)

    (outer, inner), *further = footprints(canvas_size(denoised), zoom_factor, pixels_per_cell)
    band, own = split(observed[1:], zoom_factor, inner)
    others = crop(observed[:-1], outer)
    coarser = merge_decoded(own, others, others, 1, further) if decoded else merge(own, others, 1, further)
    return torch.cat([observed[:1], join(band, coarser, zoom_factor, inner)]).to(denoised.dtype)


def _mean(own: Tensor, others: Tensor, count: int, feather: float) -> Tensor:
    """The mean of an observation and the sum of `count` others; near its border the mean of the others."""
    weight = _border_weight(canvas_size(own), feather).to(own)
    return (others + weight * own) / (count + weight)


def _border_weight(size: Size, feather: float) -> Tensor:
    """(height, width) float64: 1 inside, falls smoothly towards the border over `feather` sides."""
    rows, columns = (_ramp(length, feather) for length in size)
    return torch.minimum(rows[:, None], columns)


def _ramp(length: int, feather: float) -> Tensor:
    if feather == 0:
        return torch.ones(length, dtype=torch.float64)
    place = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return smoothstep((torch.minimum(place, 1 - place) / feather).clamp(max=1))


def fit_photograph(
    denoised: Tensor, photograph: Tensor, zoom_factor: int, steps: int = 5, lr: float = 0.1, pixels_per_cell: int = 1
) -> Tensor:
    """Section 4.4: before the blending, Adam moves every level towards the part of the photograph that it shows.

    Adam minimises Eq. 1, sum_i |D_i(x_i) - M_i photograph|^2. All cells of x_i that belong to one cell of the
    photograph have the same gradient, so Adam changes them alike. It can run on the downsampled level, without
    autograd. The change is then enlarged smoothly, not as blocks, which is the same for Eq. 1. Levels that cover less
    than one cell of the photograph are not changed.

    A step of Adam has about the length `lr`. So cells end within about `lr` / 2 of the photograph.

    Args:
        denoised: (N, C, ..., H, W), two or more levels.
        photograph: (C, ..., H, W), what level 0 must show.
        zoom_factor: p.
        steps: steps of Adam, 0 or more; 5 in the paper.
        lr: learning rate; 0.1 in the paper, for values in -1..1.
        pixels_per_cell: as in `render_image`.

    Raises:
        ValueError: a photograph of another shape than a level, negative steps, and as `levels_nesting`.
    """
    levels_nesting(denoised, zoom_factor, pixels_per_cell)
    if photograph.shape != denoised.shape[1:]:
        raise ValueError(
            f"photograph: must have the shape of a level, {tuple(denoised.shape[1:])}, got {tuple(photograph.shape)}."
        )
    if steps < 0:
        raise ValueError(f"steps: must be 0 or more, got {steps}.")
    fitted, wanted = _computable(denoised).clone(), _computable(photograph)
    nested = footprints(canvas_size(denoised), zoom_factor, pixels_per_cell)
    for level in range(min(len(fitted), len(nested) + 1)):
        small, target = fitted[level], wanted
        sizes: list[Size] = []
        for outer, inner in nested[:level]:
            sizes.append(canvas_size(small))
            small = downsample(crop(small, inner), zoom_factor)
            target = crop(wanted, outer)
        change = _adam(small, target, steps, lr, 1 / zoom_factor ** (2 * level)) - small
        for (_, inner), size in zip(reversed(nested[:level]), reversed(sizes), strict=True):
            change = enlarge(change, zoom_factor, inner, size)
        fitted[level] += change
    return fitted.to(denoised.dtype)


def _adam(x: Tensor, target: Tensor, steps: int, lr: float, scale: float) -> Tensor:
    """x after Adam (Kingma and Ba, Algorithm 1) on scale * |x - target|^2."""
    (keep_mean, keep_square), mean, square = ADAM_DECAY, torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, steps + 1):
        gradient = 2 * scale * (x - target)
        mean = keep_mean * mean + (1 - keep_mean) * gradient
        square = keep_square * square + (1 - keep_square) * gradient**2
        deviation = (square / (1 - keep_square**step)).sqrt() + ADAM_EPSILON
        x = x - lr * mean / (1 - keep_mean**step) / deviation
    return x


def _computable(levels: Tensor) -> Tensor:
    """In float32 at least."""
    return levels.to(torch.promote_types(levels.dtype, torch.float32))

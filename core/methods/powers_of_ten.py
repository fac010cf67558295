"""Generative Powers of Ten: one scene at many zoom levels, consistent with one another at every step.

Wang et al., "Generative Powers of Ten", 2023, sections 4.1 to 4.4. All levels are a batch (N, C, ..., H, W), the most
zoomed out first, level i + 1 showing the centre of level i p times larger; `zoom.geometry` says which cells that are.
A step of Algorithm 2 is `denoised = render_image(blend(D(x)))`, and stochastic samplers take their noise from
`render_noise`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..canvas.resample import downsample
from ..canvas.windows import Size, canvas_size, crop
from ..zoom.geometry import Nesting, footprints, levels_nesting
from ..zoom.pyramid import enlarge, join, split
from ..zoom.smoothstep import smoothstep

FEATHER = 0.125  # sides of a level; more takes the frames away no better
ADAM_DECAY = (0.9, 0.999)
ADAM_EPSILON = 1e-8


def render_image(levels: Tensor, zoom_factor: int, pixels_per_cell: int = 1) -> Tensor:
    """Pi_image of Algorithm 1 for every level: the centre of level i shows the levels inside it.

    Convention:
        - shrinking is the mean over p x p cells. The paper's truncated Gaussian would not let rendered levels agree
          exactly, and would change the variance of noise
        - the centre of rendered level i is rendered level i + 1, shrunk; on sizes that nest without rest this is
          Algorithm 1 literally, and on the others a cell may be half of one layer and half of the next

    Args:
        levels: (N, C, ..., H, W), two or more layers L_i of the zoom stack.
        zoom_factor: p, between them, 2 or more.
        pixels_per_cell: cells of `levels` that stay together, for pixels that must nest as the latents do.

    Returns:
        (N, C, ..., H, W), of the dtype of `levels`; half precision is computed in float32.

    Raises:
        ValueError: as `levels_nesting`.
    """
    return _render(levels, zoom_factor, pixels_per_cell, gain=1)


def render_noise(noise: Tensor, zoom_factor: int) -> Tensor:
    """Pi_noise of Algorithm 1: unit noise whose levels agree as those of `render_image` do.

    Each mean over p x p cells is multiplied by p, so independent N(0, 1) in (N, C, ..., H, W) stays exactly N(0, 1) and
    independent within each level, and a cell of level i has covariance 1 / p with each of the p x p cells of level
    i + 1 that it shows. Errors as `render_image`.
    """
    return _render(noise, zoom_factor, pixels_per_cell=1, gain=zoom_factor)


def _render(levels: Tensor, zoom_factor: int, pixels_per_cell: int, gain: int) -> Tensor:
    outer, inner = levels_nesting(levels, zoom_factor, pixels_per_cell)
    rendered = _computable(levels).clone()
    for level in reversed(range(len(rendered) - 1)):
        crop(rendered[level], outer).copy_(gain * downsample(crop(rendered[level + 1], inner), zoom_factor))
    return rendered.to(levels.dtype)


def blend(
    denoised: Tensor, zoom_factor: int, pixels_per_cell: int = 1, feather: float = FEATHER, decoded: bool = False
) -> Tensor:
    """Multi-resolution blending, section 4.2: observations of all levels to the layers of one zoom stack.

    Layer i is merged from the observations j <= i, each cropped to what level i shows and enlarged p^(i-j) times: their
    Laplacian pyramids are averaged band by band, over those that have information in the band and place.

    Convention:
        - **j <= i**, zoomed out levels. The text of section 4.2 says "all samples j >= i", and in the same sentence
          "cropping to match the content of the i-th level" and "collecting from all further zoomed-out levels", which
          only j <= i allows; the caption of Figure 5 has j <= i. Levels j > i enter the picture by `render_image`
        - bands are a factor p apart, so an observation j of layer i speaks in the bands from i - j on: the finest band
          is level i's own, the next one the mean of two, and so on; `pyramid` keeps the others' enlargement out of it
        - an observation of which level i does not cover one whole cell says nothing
        - at its border, where it has not seen what is around, level i leaves all but its finest band to the others.
          The rendered level outside then has no frame around it, which the paper's plain average leaves (`feather` 0)

    A decoder blurs the finest band of its pictures. Averaged with that, level i would lose contrast in its second band,
    and a little more at every step of sampling: the finest band of `decoded` observations j < i is heard only where
    level i is not, at its border.

    Since the bands do not leak, nothing is ever enlarged to full size: the sum of pyramids is the pyramid of the sum,
    to which observation j is added at its own resolution. Time and memory are a small multiple of the levels' own.

    Args:
        denoised: (N, C, ..., H, W), two or more observations x_i.
        zoom_factor: p.
        pixels_per_cell: as `render_image`.
        feather: how far inside its border level i speaks as loud as the others, in sides, 0..0.5.
        decoded: the observations are pictures from a decoder of latents. False is the paper's, for models of pixels.

    Raises:
        ValueError: a feather outside 0..0.5, and as `levels_nesting`.
    """
    levels_nesting(denoised, zoom_factor, pixels_per_cell)
    if not 0 <= feather <= 0.5:
        raise ValueError(f"feather: must be in 0..0.5 sides of a level, got {feather}; 0 is the paper's plain average.")
    observed = _computable(denoised)

    def merge(own: Tensor, others: Tensor, newest: Tensor, count: int, steps: Sequence[Nesting]) -> Tensor:
        """Layers from their own observation and the sum of `count` others, the newest of which is the nearest level's.

        In the coarser bands there are more: none for the first layer, `observed[0]` for the second, and so on.
        """
        whole = 0 if decoded else 1  # of the first layer all that is left has the same observations, but for `newest`
        if not steps or len(own) == whole:
            return _mean(own, others, count, feather)
        (outer, inner), *further = steps
        own_band, own_coarse = split(own[whole:], zoom_factor, inner)
        band, coarse = split(others[whole:], zoom_factor, inner)
        if decoded:
            instead = _inwards(canvas_size(own), feather).to(own)
            band = (band + instead * (own_band - split(newest, zoom_factor, inner).band)) / count
        else:
            band = _mean(own_band, band, count, feather)
        merged = _mean(own_coarse[: 1 - whole], coarse[: 1 - whole], count, feather)
        if len(own) > 1:
            newest, inside = crop(observed[: len(own) - 1], outer), own_coarse[1 - whole :]
            inside = merge(inside, coarse[1 - whole :] + newest, newest, count + 1, further)
            merged = torch.cat([merged, inside])
        # Weights that vary within a coarse cell let a band leak into the coarser ones: once more, only the band of it.
        layers = join(split(band, zoom_factor, inner).band, merged, zoom_factor, inner)
        return torch.cat([_mean(own[:whole], others[:whole], count, feather), layers])

    (outer, inner), *further = footprints(canvas_size(denoised), zoom_factor, pixels_per_cell)
    band, coarse = split(observed[1:], zoom_factor, inner)
    others = crop(observed[:-1], outer)
    merged = merge(coarse, others, others, 1, further)
    return torch.cat([observed[:1], join(band, merged, zoom_factor, inner)]).to(denoised.dtype)


def _mean(own: Tensor, others: Tensor, count: int, feather: float) -> Tensor:
    """Of an observation and the sum of `count` others, towards its border of the others alone."""
    weight = _inwards(canvas_size(own), feather).to(own)
    return (others + weight * own) / (count + weight)


def _inwards(size: Size, feather: float) -> Tensor:
    """(height, width) float64: 1, falling smoothly towards the border over `feather` sides."""
    rows, columns = (_ramp(length, feather) for length in size)
    return torch.minimum(rows[:, None], columns)


def _ramp(length: int, feather: float) -> Tensor:
    if feather == 0:
        return torch.ones(length, dtype=torch.float64)
    start = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return smoothstep((torch.minimum(start, 1 - start) / feather).clamp(max=1))


def fit_photograph(
    denoised: Tensor, photograph: Tensor, zoom_factor: int, steps: int = 5, lr: float = 0.1, pixels_per_cell: int = 1
) -> Tensor:
    """Section 4.4: move every level towards what the photograph shows of it, before blending.

    `steps` steps of Adam on Eq. 1, sum_i |D_i(x_i) - M_i photograph|^2. All cells under one cell of the photograph have
    the same gradient and so the same history in Adam: the optimisation runs on the shrunk levels, without autograd,
    and gives what Adam on the full ones gives. The change is then enlarged smoothly instead of as blocks, which
    is the same for Eq. 1. Levels that cover less than one cell of the photograph stay as they are.

    Adam's steps are about `lr` long however little is left to do: cells end up within about half of it of the
    photograph, closer with more steps at a lower rate.

    Args:
        denoised: (N, C, ..., H, W), two or more levels.
        photograph: (C, ..., H, W), what level 0 must show.
        zoom_factor: p.
        steps: steps of Adam, 0 or more.
        lr: its learning rate, about the largest change of a cell in one step; 0.1 is for images in -1..1.
        pixels_per_cell: as `render_image`.

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
        path = nested[:level]
        shown, seen = fitted[level], wanted
        sizes: list[Size] = []
        for step in path:
            sizes.append(canvas_size(shown))
            shown = downsample(crop(shown, step.inner), zoom_factor)
            seen = crop(wanted, step.outer)
        change = _adam(shown, seen, steps, lr, 1 / zoom_factor ** (2 * level)) - shown
        for step, size in zip(reversed(path), reversed(sizes), strict=True):
            change = enlarge(change, zoom_factor, step.inner, size)
        fitted[level] += change
    return fitted.to(denoised.dtype)


def _adam(x: Tensor, target: Tensor, steps: int, lr: float, scale: float) -> Tensor:
    """Adam (Kingma and Ba, Algorithm 1) from x on scale * |x - target|^2."""
    (keep_mean, keep_square), mean, square = ADAM_DECAY, torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, steps + 1):
        gradient = 2 * scale * (x - target)
        mean = keep_mean * mean + (1 - keep_mean) * gradient
        square = keep_square * square + (1 - keep_square) * gradient**2
        deviation = (square / (1 - keep_square**step)).sqrt() + ADAM_EPSILON
        x = x - lr * mean / (1 - keep_mean**step) / deviation
    return x


def _computable(levels: Tensor) -> Tensor:
    return levels.to(torch.promote_types(levels.dtype, torch.float32))

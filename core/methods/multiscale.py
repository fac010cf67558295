"""Multi-Scale Diffusion: low-resolution panoramas decide the layout of high-resolution windows.

Zhang et al., "Multi-Scale Diffusion: Enhancing Spatial Layout in High-Resolution Panoramic Image Generation", 2025,
Algorithm 1 and Eq. 9. At each step the canvas is downsampled scale by scale. The coarsest canvas has the size of a few
windows and is denoised by plain MultiDiffusion. Each finer canvas is guided by the next coarser one. Only the finest
canvas goes to the next step.

There are two kinds of guidance:

projected   A correction of the denoised canvas D: D' = D + w up(C target - down(D)), where target is the denoised
            coarse canvas and C a `ScaleMap` or the identity. This is the range-null-space projection of DDNM (Wang, Yu
            and Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023), which has
            down(D') = C target for w = 1. Here `up` is bicubic, so this holds for what is smooth in the coarse canvas;
            differences from cell to cell are corrected in part. The model denoises every view once.
gradient    Eq. 9 itself: every view is shifted against the gradient of its distance to the coarse canvas, through the
            model, and then denoised a second time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from ..canvas.resample import downsample, downsampled_size, upsample, upsample_bicubic
from ..canvas.windows import NO_WRAP, Size, Window, Wrap, canvas_size, crop_batch
from ..correction import Correction, RollOff
from ..denoiser import Denoiser
from ..step import Step, signal
from .gradient_guidance import Term, window_shifts
from .multidiffusion import WindowParams, denoise_jointly
from .scale_map import ScaleMap

Guidance = Literal["projected", "gradient"]
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)
Decay = Literal["cosine", "constant"]
DECAYS: tuple[Decay, ...] = get_args(Decay)

FACTOR = 2  # between neighbouring scales; the paper's setting
MOST_SCALES = 4
PAPER_WEIGHT = 10.0  # MSD Fig. 5
# The coarse canvas has no fine texture, so a correction at low noise blurs: `python -m benchmarks.figures msd-roll-off`
# compares.
ROLL_OFF = RollOff(full=2.0, none=0.5)


@dataclass(frozen=True, kw_only=True)
class MultiScaleParams:
    """How the coarser scales guide the canvas.

    Attributes:
        scales: number of scales, 1..4; the canvas is the first, each next one has half the resolution. 1 is
            MultiDiffusion; 0 chooses the number by the canvas (`scales_of`).
        guidance: `projected` or `gradient`, see above.
        strength: w of `projected`, 0 (MultiDiffusion) to 1.
        roll_off: for `projected`: how the strength falls with the noise level.
        weight: omega of `gradient` (Eq. 9), >= 0; 10 is best in the paper's Fig. 5. The loss is a *sum* of squares, so
            the weight does not depend on the size of the windows.
        decay: for `gradient`: the factor of the weight. `cosine` is (1 + cos(pi progress)) / 2, with `Step.progress`
            for the time of section IV-A.2; `constant` is 1.
    """

    scales: int = 0
    guidance: Guidance = "projected"
    strength: float = 1.0
    roll_off: RollOff = ROLL_OFF
    weight: float = PAPER_WEIGHT
    decay: Decay = "cosine"

    def __post_init__(self) -> None:
        if not 0 <= self.scales <= MOST_SCALES:
            raise ValueError(
                f"scales: must be in 1..{MOST_SCALES}, or 0 for as many as the canvas asks for, got {self.scales}."
            )
        if self.guidance not in GUIDANCES:
            raise ValueError(f"guidance: must be projected or gradient, got {self.guidance!r}.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength: must be in 0..1, got {self.strength}.")
        if self.decay not in DECAYS:
            raise ValueError(f"decay: must be cosine or constant, got {self.decay!r}.")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight: must be a number of at least 0, got {self.weight}.")

    @property
    def needs_gradients(self) -> bool:
        """Whether a backward pass through the model is needed."""
        return self.guidance == "gradient"

    @property
    def is_on(self) -> bool:
        """Whether any step is guided."""
        return self.scales != 1 and (self.weight if self.needs_gradients else self.strength) > 0

    def strength_at(self, step: Step) -> float:
        """The strength of `projected`, or the weight of `gradient`, in this step."""
        if not self.is_on:
            return 0.0
        if self.needs_gradients:
            return self.weight * ((1 + math.cos(step.progress * math.pi)) / 2 if self.decay == "cosine" else 1.0)
        return self.strength * self.roll_off.at(step.noise)

    def scales_of(self, canvas: Size, windows: WindowParams) -> int:
        """The number of scales on this canvas.

        If `scales` is 0, the canvas is halved while it is higher than a window, because windows above each other tend
        to repeat the scene. No coarse canvas is smaller than `least_coarse`.
        """
        if self.scales:
            return self.scales
        scales, size = 1, canvas
        # A side of one cell cannot be halved.
        while scales < MOST_SCALES and size.height > windows.window.height and min(size) >= FACTOR:
            size = downsampled_size(size, FACTOR)
            if any(side < least for side, least in zip(size, least_coarse(windows), strict=True)):
                break
            scales += 1
        return scales


def least_coarse(windows: WindowParams) -> Size:
    """The smallest coarse canvas for a model of these windows: half a window high and a quarter of a window wide.

    A model has not seen scenes that are lower. It may be narrower, because a scene without its sides has the same
    layout. An axis that wraps needs a whole window.
    """
    sides = zip(windows.window, (2, 4), windows.wrap, strict=True)
    return Size(*(window if wraps else -(-window // part) for window, part, wraps in sides))


def scale_sizes(canvas: Size, scales: int) -> list[Size]:
    """Sizes of the canvas at every scale, finest first."""
    sizes = [canvas]
    for _ in range(scales - 1):
        sizes.append(downsampled_size(sizes[-1], FACTOR))
    return sizes


def least_side(scales: int) -> int:
    """The fewest cells of a side of the canvas: at every scale but the last there must be two, which become one."""
    return 1 if scales == 1 else FACTOR ** (scales - 2) + 1


def check_scales(canvas: Size, windows: WindowParams, params: MultiScaleParams) -> None:
    """Check that the canvas is large enough for the number of scales.

    Raises:
        ValueError: a coarse canvas smaller than `least_coarse`, a canvas smaller than `least_side`, or windows of one
            cell, of which `gradient` would compare halves.
    """
    scales = params.scales_of(canvas, windows)
    for coarse in scale_sizes(canvas, scales)[1:]:
        sides = zip(("height", "width"), coarse, least_coarse(windows), windows.wrap, strict=True)
        for axis, side, least, wraps in sides:
            if side < least:
                raise ValueError(
                    f"scales: with {scales} scales the {axis} of the canvas comes down to {side} latent cells and must "
                    f"be at least {least}{' (it wraps)' if wraps else ''}. Use fewer scales (0 finds "
                    f"out how many, 1 is plain MultiDiffusion) or a canvas of a larger {axis}."
                )
    for axis, side, window in zip(("height", "width"), canvas, windows.window, strict=True):
        if side < least_side(scales):
            raise ValueError(
                f"scales: with {scales} scales, each half of the one before, the {axis} of the canvas must be at least "
                f"{least_side(scales)} latent cells, got {side}. Use fewer scales (0 finds out how many, 1 is plain "
                f"MultiDiffusion) or a canvas of a larger {axis}."
            )
        if scales > 1 and params.needs_gradients and window < FACTOR:
            raise ValueError(
                f"guidance: with gradient, Multi-Scale Diffusion compares windows at half their size, so the {axis} of "
                f"a window must be at least {FACTOR} latent cells, got {window}. Make the windows larger, or choose "
                "projected."
            )


def projection(target: Tensor, strength: float, wrap: Wrap = NO_WRAP, scale_map: ScaleMap | None = None) -> Correction:
    """The correction of `projected`: D' = D + strength up(C target - down(D)), strength 0..1.

    `target` is the denoised coarse canvas, (B, C, ..., h, w), and `scale_map` is C; None is the identity.
    """
    wanted = scale_map(target) if scale_map else target

    def correct(denoised: Tensor) -> Tensor:
        missing = (wanted - downsample(denoised, FACTOR)).to(denoised)
        return denoised + strength * upsample_bicubic(missing, canvas_size(denoised), wrap)

    return correct


def multiscale_term(
    x: Tensor, step: Step, denoise: Denoiser, windows: WindowParams, params: MultiScaleParams
) -> Term | None:
    """The loss of Eq. 9 for the windows of the canvas x, with the weight of this step; None if nothing guides.

    This is Algorithm 1 without its last call at the finest scale: there other methods may guide the same windows. The
    coarser canvases are denoised here.

    Convention:
        - as in the paper, a coarse canvas is denoised at the noise level of the fine one, although its noise is lower
        - as in the paper, both canvases are compared at t - 1: Phi of Eq. 9 is the sampler's step to the next noise
          level, x' = r x + (1 - r) D(x)
        - the gradient is taken with respect to the noisy view x_{t,i} before any shift. It goes through Phi, that is
          through the model D and through the term r x. The coarse canvas is a constant
        - it is the gradient in y = x0 + s n, not in the paper's x_t (`Term.unit_variance` is False)
    """
    weight = params.strength_at(step)
    scales = params.scales_of(canvas_size(x), windows)
    if weight == 0 or scales == 1:
        return None
    kept = step.kept
    canvases = [x]
    for _ in range(scales - 1):
        canvases.append(downsample(canvases[-1], FACTOR))
    target = _stepped(canvases[-1], denoise_jointly(canvases[-1], step.sigma, denoise, windows), kept)
    for canvas in reversed(canvases[1:-1]):
        size = canvas_size(canvas)
        batches = windows.batches(windows.plan(size))
        shifts = window_shifts(canvas, step, denoise, batches, [_distance_term(target, size, step, weight)])
        # Line 8 of Algorithm 1: the shifted views are denoised, stepped and fused. The factor of the shifts is that of
        # `_stepped`, which adds no noise. `Step.shift_kept` is that of the sampler, which may add some: in flow models
        # it then differs.
        denoised = denoise_jointly(canvas, step.sigma, denoise, windows, shifts, kept / (1 - kept))
        target = _stepped(canvas, denoised, kept)
    return _distance_term(target, canvas_size(x), step, weight)


def _distance_term(target: Tensor, canvas: Size, step: Step, weight: float) -> Term:
    """Eq. 9: the squared distance between the windows of a canvas and `target`, the next coarser canvas at t - 1."""
    # The paper's F_i' crops the coarse canvas, which needs even positions. The same cells are found at any position if
    # the coarse canvas is upsampled once, and each view of it is downsampled again.
    target = upsample(target, FACTOR, canvas)
    # Both are still noisy. In a flow model they are a times x0 + s n, a = `signal` at t - 1, so the square has a^2.
    weight = weight / signal(step.kept * step.sigma, step.flow) ** 2

    def loss(views: Tensor, denoised: Tensor, windows: Sequence[Window]) -> Tensor:
        coarse = downsample(crop_batch(target, windows), FACTOR)
        fine = downsample(_stepped(views, denoised, step.kept), FACTOR)
        return weight * (fine - coarse).square().sum()

    return Term(loss=loss)


def _stepped(x: Tensor, denoised: Tensor, kept: float) -> Tensor:
    """Phi of Eq. 9: the sampler's step from x to the next noise level."""
    return kept * x + (1 - kept) * denoised if kept else denoised

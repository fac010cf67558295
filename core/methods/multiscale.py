"""Multi-Scale Diffusion: low-resolution panoramas decide the layout of high-resolution windows.

Zhang et al., "Multi-Scale Diffusion: Enhancing Spatial Layout in High-Resolution Panoramic Image Generation", 2025,
Algorithm 1 and Eq. 9. At each step the canvas is made smaller scale by scale; the coarsest one, a few windows large, is
denoised by plain MultiDiffusion, and each finer one is guided by it. Only the finest scale is carried to the next step.

Two kinds of guidance:

projected   the denoised canvas D is corrected: D' = D + w up(C target - down(D)). With w = 1 it shows the coarse canvas
            when it is made smaller: the range-null-space projection of DDNM (Wang, Yu and Zhang, "Zero-Shot Image
            Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023), with the coarse panorama as its
            observation. One look at every window; C is a `ScaleMap`, or nothing.
gradient    the paper's Eq. 9: every window is moved against the gradient of its distance to the coarse canvas, through
            the model, and looked at again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from ..canvas.resample import DOWNSAMPLINGS, Downsampling, downsample, downsampled_size, enlarge, upsample
from ..canvas.windows import NO_WRAP, Size, Window, Wrap, canvas_size, crop_batch
from ..correction import Correction, RollOff
from ..denoiser import Denoiser
from ..step import Step, signal
from .gradient_guidance import DECAYS, Decay, Term, decayed, window_shifts
from .multidiffusion import WindowParams, denoise_jointly
from .scale_map import ScaleMap

Guidance = Literal["projected", "gradient"]
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)

FACTOR = 2  # between neighbouring scales; the paper's setting
MOST_SCALES = 4
PAPER_WEIGHT = 10.0  # MSD Fig. 5
# Held longer, it keeps a little more of the layout and softens textures: the coarse canvas knows nothing of them.
ROLL_OFF = RollOff(full=2.0, none=0.5)


@dataclass(frozen=True, kw_only=True)
class MultiScaleParams:
    """How the coarser scales guide the canvas.

    Attributes:
        scales: number of resolutions, the canvas included, 1..4, each half of the one before; 1 is MultiDiffusion and 0
            as many as the canvas asks for (`scales_of`).
        guidance: `projected` or `gradient`, see above.
        strength: of `projected`, 0 (MultiDiffusion) to 1: the part of the difference that is taken away.
        roll_off: of `projected`: where in the sampling the strength falls.
        weight: omega of Eq. 9 for `gradient`, >= 0; the loss is a *sum* of squares, so it does not depend on the size
            of the windows.
        decay: of `gradient`: how the weight falls on the way from noise to picture.
        downsampling: of `gradient`: ds of Eq. 9.
    """

    scales: int = 0
    guidance: Guidance = "projected"
    strength: float = 1.0
    roll_off: RollOff = ROLL_OFF
    weight: float = PAPER_WEIGHT
    decay: Decay = "cosine"
    downsampling: Downsampling = "mean"

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
        if self.downsampling not in DOWNSAMPLINGS:
            raise ValueError(f"downsampling: must be mean or strided, got {self.downsampling!r}.")

    @property
    def needs_gradients(self) -> bool:
        """Whether a backward pass through the model is needed."""
        return self.guidance == "gradient"

    @property
    def is_on(self) -> bool:
        """Whether anything is guided at all."""
        return self.scales != 1 and (self.weight if self.needs_gradients else self.strength) > 0

    def strength_at(self, step: Step) -> float:
        """The strength, or the weight of `gradient`, in this step."""
        if not self.is_on:
            return 0.0
        if self.needs_gradients:
            return decayed(self.weight, self.decay, step.progress)
        return self.strength * self.roll_off.at(step.noise)

    def scales_of(self, canvas: Size, windows: WindowParams) -> int:
        """The number of scales on this canvas.

        As many as it asks for: it is halved while it is higher than a window, because scenes stack upwards; but not
        below what a model can denoise (`least_coarse`).
        """
        if self.scales:
            return self.scales
        scales, size = 1, canvas
        while scales < MOST_SCALES and size.height > windows.window.height:
            size = downsampled_size(size, FACTOR)
            if any(side < least for side, least in zip(size, least_coarse(windows), strict=True)):
                break
            scales += 1
        return scales


def least_coarse(windows: WindowParams) -> Size:
    """The smallest canvas that a model of these windows can denoise: half a window high, a quarter of one wide.

    Models know no scene that is less high. One of which the sides are missing has the same layout. An edge that wraps
    needs a whole window.
    """
    sides = zip(windows.window, (2, 4), windows.wrap, strict=True)
    return Size(*(window if wraps else -(-window // part) for window, part, wraps in sides))


def scale_sizes(canvas: Size, scales: int) -> list[Size]:
    """Sizes of the canvas at every scale, finest first."""
    sizes = [canvas]
    for _ in range(scales - 1):
        sizes.append(downsampled_size(sizes[-1], FACTOR))
    return sizes


def check_scales(canvas: Size, windows: WindowParams, params: MultiScaleParams) -> None:
    """Refuse a number of scales that the canvas does not have.

    Raises:
        ValueError: a coarse canvas below `least_coarse`.
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


def projection(target: Tensor, strength: float, wrap: Wrap = NO_WRAP, scale_map: ScaleMap | None = None) -> Correction:
    """D' = D + strength up(C target - down(D)).

    Args:
        target: (B, C, ..., h, w) the denoised coarse canvas.
        strength: w, 0..1.
        wrap: edges that meet.
        scale_map: C.
    """
    wanted = scale_map(target) if scale_map else target

    def correct(denoised: Tensor) -> Tensor:
        missing = (wanted - downsample(denoised, FACTOR)).to(denoised)
        return denoised + strength * enlarge(missing, canvas_size(denoised), wrap)

    return correct


def multiscale_term(
    x: Tensor, step: Step, denoise: Denoiser, windows: WindowParams, params: MultiScaleParams
) -> Term | None:
    """What pulls the windows of the canvas x towards its coarser scales by a gradient; the scales are denoised first.

    None where there is nothing to pull. All of Algorithm 1 but its last scale, whose windows other methods may guide as
    well. To the letter: the coarse canvas is denoised as if it had the noise level of the fine one, and both are
    compared after the step, at t - 1. The gradient is taken in pictures plus noise, x0 + s n.
    """
    weight = params.strength_at(step)
    scales = params.scales_of(canvas_size(x), windows)
    if weight == 0 or scales == 1:
        return None
    kept = step.kept
    canvases = [x]
    for _ in range(scales - 1):
        canvases.append(downsample(canvases[-1], FACTOR, params.downsampling))
    target = _stepped(canvases[-1], denoise_jointly(canvases[-1], step.sigma, denoise, windows), kept)
    for canvas in reversed(canvases[1:-1]):
        size = canvas_size(canvas)
        term = _towards(target, size, step, weight, params)
        batches = windows.batches(windows.plan(size))
        shifts = window_shifts(canvas, step, denoise, batches, [term])
        # Line 8 of Algorithm 1: the guided windows, stepped and fused.
        denoised = denoise_jointly(canvas, step.sigma, denoise, windows, shifts, kept / (1 - kept))
        target = _stepped(canvas, denoised, kept)
    return _towards(target, canvas_size(x), step, weight, params)


def _towards(target: Tensor, canvas: Size, step: Step, weight: float, params: MultiScaleParams) -> Term:
    """Eq. 9 for the windows of a canvas: the loss that compares them with `target`, the next coarser scale."""
    # Upsampled once, then cropped and downsampled by each window on its own cells: for windows on even offsets this is
    # exactly F_i' of the paper, and for the others (the last one before an edge) it is right as well.
    target = upsample(target, FACTOR, canvas)
    # What is compared is still noisy; of flow models it is smaller than x0 + s n by the signal in it.
    weight = weight / signal(step.kept * step.sigma, step.flow) ** 2

    def loss(views: Tensor, denoised: Tensor, windows: Sequence[Window]) -> Tensor:
        wanted = downsample(crop_batch(target, windows), FACTOR)
        seen = downsample(_stepped(views, denoised, step.kept), FACTOR, params.downsampling)
        return weight * (seen - wanted).square().sum()

    return Term(loss=loss)


def _stepped(x: Tensor, denoised: Tensor, kept: float) -> Tensor:
    return kept * x + (1 - kept) * denoised if kept else denoised

"""The parameters of all methods together: what is on in a step, and whether a canvas suits them."""

from dataclasses import dataclass, replace

from .canvas.windows import Size
from .methods.multidiffusion import WindowParams
from .methods.multiscale import MultiScaleParams, check_scales
from .methods.structure import StructureParams, check_structure
from .methods.syncdiffusion import SyncParams
from .methods.twindiffusion import CropFusionParams, CrossSamplingParams
from .step import Step


@dataclass(frozen=True, kw_only=True)
class JointParams:
    """The windows and the parameters of every method; None where a method is off."""

    windows: WindowParams
    multiscale: MultiScaleParams | None = None
    structure: StructureParams | None = None
    sync: SyncParams | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None

    @property
    def _guidance(self) -> list[MultiScaleParams | SyncParams]:
        return [method for method in (self.multiscale, self.sync) if method is not None and method.is_on]

    @property
    def guided(self) -> bool:
        """Whether Multi-Scale Diffusion, SyncDiffusion or a picture acts in any step."""
        return bool(self._guidance) or self.followed is not None

    @property
    def followed(self) -> StructureParams | None:
        """How the picture is followed that is given; None if it is in no step."""
        return self.structure if self.structure is not None and self.structure.strength > 0 else None

    @property
    def needs_gradients(self) -> bool:
        """Whether any step needs a gradient through the model."""
        return any(method.needs_gradients for method in self._guidance)

    @property
    def differs_by_step(self) -> bool:
        """Whether steps may differ in more than their noise level."""
        return self.guided or self.windows.moving or self.crop_fusion is not None or self.cross_sampling is not None

    def windows_at(self, step: Step, coarse: bool = False) -> WindowParams:
        """The windows of this step, on the canvas or on a coarse one.

        Windows of a coarse canvas overlap even if those of the canvas move: they are few, and the layout gets better.
        """
        windows = self.windows.overlapping() if coarse else self.windows.at(step.sigma)
        if self.cross_sampling is None:
            return windows
        return replace(windows, offset=self.cross_sampling.offset_at(step, windows))

    def crop_fusion_at(self, step: Step) -> CropFusionParams | None:
        """Crop Fusion, if it is on in this step."""
        on = self.crop_fusion is not None and step.progress < self.crop_fusion.stop
        return self.crop_fusion if on else None

    def follows_picture(self, step: Step) -> bool:
        """Whether the coarsest canvas of this step is a picture that is given."""
        return self.followed is not None and self.followed.scales_at(step) > 0

    def coarser_scales(self, canvas: Size, step: Step) -> int:
        """How many coarser canvases this one follows in this step, a picture that is given among them."""
        if self.followed is not None:  # it has the layout, which Multi-Scale Diffusion would only guess
            return self.followed.scales_at(step)
        if self.multiscale is None or self.multiscale.strength_at(step) == 0:
            return 0
        return self.multiscale.scales_of(canvas, self.windows) - 1


def check_canvas(canvas: Size, params: JointParams) -> None:
    """Check that all methods can work on this canvas. Call it before the first step.

    Raises:
        ValueError: SyncDiffusion with a single window; moving windows with Cross Sampling; a picture with Multi-Scale
            Diffusion; and the errors of `plan_windows`, `CrossSamplingParams.check`, `check_scales` and
            `check_structure`.
    """
    windows = params.windows.plan(canvas)
    if params.sync is not None and params.sync.is_on and len(windows) == 1:
        raise ValueError(
            f"sync guidance: one window of {windows[0].width} x {windows[0].height} latent cells covers this canvas, "
            "so there is nothing to synchronise it with; make the canvas larger, the windows smaller, or turn Sync "
            "Guidance off."
        )
    if params.cross_sampling is not None:
        if params.windows.moving:
            raise ValueError(
                "cross_sampling: moving windows already do what Cross Sampling does; turn Cross Sampling off, or "
                "choose overlapping windows."
            )
        params.cross_sampling.check(params.windows, canvas)
    if params.followed is not None and params.multiscale is not None and params.multiscale.is_on:
        raise ValueError(
            "structure: the picture decides the layout already, which Multi-Scale Diffusion would decide again; turn "
            "one of the two off."
        )
    if params.multiscale is not None and params.multiscale.is_on:
        check_scales(canvas, params.windows, params.multiscale)
    if params.followed is not None:
        check_structure(canvas, params.windows, params.followed)

"""What the pack's MODEL nodes leave on a model, whatever their order in the graph."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.model_patcher import ModelPatcher

from ...core.canvas.windows import NO_WRAP, Size, Wrap
from ...core.joint_params import JointParams
from ...core.methods.multidiffusion import WindowParams
from ...core.methods.multiscale import MultiScaleParams
from ...core.methods.syncdiffusion import SyncParams
from ...core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from ...core.perception.lpips import Lpips
from ...core.perception.style import Style
from .families import grid, native_window

if TYPE_CHECKING:
    from .workers.crew import Workers

KEY = "joint_diffusion"
CALL = "joint_diffusion_call"  # in transformer_options while a run predicts: what is asked for, see windows/
LEVEL = "joint_diffusion_level"  # in a conditioning: the level of a zoom stack that it is for, see joined/
DEFAULT_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class PictureLoss:
    """What SyncDiffusion compares windows by, if not by their latents: decoded, and looked at by a network."""

    vae: Any
    perception: Lpips | Style

    def on(self, device: torch.device) -> "PictureLoss":
        """The same with the network there."""
        return replace(self, perception=self.perception.to(device))


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What an enlarged canvas follows: an IMAGE (B, H, W, C) in 0..1 and the VAE that encodes it.

    `enlargement` is how many times smaller the picture was before it became as large as the image is; 1 if it was not.
    """

    image: torch.Tensor
    vae: Any
    strength: float
    end: float  # noise over picture at which it ends
    enlargement: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"structure: must be in 0..1, got {self.strength}; 0 is plain img2img.")
        if not 0 < self.end < math.inf:
            raise ValueError(f"structure_end: must be a number above 0, got {self.end}; higher is freer.")


@dataclass(frozen=True, kw_only=True)
class JointSettings:
    """The fields are those of the MODEL nodes; None where the graph has none."""

    windows: WindowParams | None = None
    multiscale: MultiScaleParams | None = None
    sync: SyncParams | None = None
    picture_loss: PictureLoss | None = None
    picture: Picture | None = None
    crop_fusion: CropFusionParams | None = None
    cross_sampling: CrossSamplingParams | None = None
    workers: "Workers | None" = None


def settings_of(model_options: dict[str, Any]) -> JointSettings:
    """What the nodes have left in the options of a model."""
    return model_options.get("transformer_options", {}).get(KEY, JointSettings())


def windows_of(model: ModelPatcher) -> WindowParams | None:
    """The windows of Panorama Windows; None where the graph has none."""
    return settings_of(model.model_options).windows


def wrap_of(model: ModelPatcher | None) -> Wrap:
    """The edges that meet on canvases of this model; none without Panorama Windows."""
    windows = windows_of(model) if model is not None else None
    return windows.wrap if windows else NO_WRAP


def joint_params(model: ModelPatcher, model_options: dict[str, Any] | None = None) -> JointParams:
    """The settings as the core takes them; without Panorama Windows the model's native window at half overlap.

    What a picture asks for is not in them: it depends on the canvas, see `windows/picture.py`.
    """
    settings = settings_of(model_options or model.model_options)
    return JointParams(
        windows=settings.windows or _native_windows(model),
        multiscale=settings.multiscale,
        sync=settings.sync,
        crop_fusion=settings.crop_fusion,
        cross_sampling=settings.cross_sampling,
    )


def _native_windows(model: ModelPatcher) -> WindowParams:
    window, step = native_window(model), grid(model)
    return WindowParams(window=window, stride=stride_of(window, DEFAULT_OVERLAP, step), grid=step)


def stride_of(window: Size, overlap: float, grid: int) -> Size:
    """The stride nearest to an overlap, a part of the window, on the model's grid and at least one step of it."""
    return Size(*(max(round(side * (1 - overlap) / grid), 1) * grid for side in window))

"""What the pack's MODEL nodes leave on a model, whatever their order in the graph."""

from dataclasses import dataclass
from typing import Any

from comfy.model_patcher import ModelPatcher

from ...core.multidiffusion import WindowParams
from ...core.multiscale import MultiScaleParams
from ...core.windows import Size
from .families import grid, native_window

KEY = "joint_diffusion"
CALL = "joint_diffusion_call"  # in transformer_options while a run predicts: what is asked for, see sampling.py
LEVEL = "joint_diffusion_level"  # in a conditioning: the level of a zoom stack that it is for, see zoom_conditioning.py
DEFAULT_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class JointSettings:
    """One field for each MODEL node; None where the graph has none."""

    windows: WindowParams | None = None
    multiscale: MultiScaleParams | None = None


def settings_of(model_options: dict[str, Any]) -> JointSettings:
    """What the nodes have left in the options of a model."""
    return model_options.get("transformer_options", {}).get(KEY, JointSettings())


def windows_of(model: ModelPatcher, model_options: dict[str, Any] | None = None) -> WindowParams:
    """The windows that the model carries, else its native window at half overlap."""
    carried = settings_of(model_options or model.model_options).windows
    if carried is not None:
        return carried
    window, step = native_window(model), grid(model)
    return WindowParams(window=window, stride=stride_of(window, DEFAULT_OVERLAP, step), grid=step)


def stride_of(window: Size, overlap: float, grid: int) -> Size:
    """The stride nearest to an overlap, a part of the window, on the model's grid and at least one step of it."""
    return Size(*(max(round(side * (1 - overlap) / grid), 1) * grid for side in window))

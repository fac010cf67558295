"""Joint sampling through windows, for every sampler node of the host."""

from comfy_api.latest import io

from ..core.canvas.fusion import WeightShape
from ..core.canvas.windows import Wrap
from ..core.methods.multidiffusion import WindowParams
from .host.families import grid
from .host.settings import DEFAULT_OVERLAP, stride_of
from .host.windows.patch import with_settings
from .pixels import size_or_native
from .search_words import LARGE, WRAP
from .shared_inputs import ADVANCED, JOINT_MODEL, pixels_input, require_choice, wrap_inputs

WINDOWS = OVERLAPPING, MOVING = "overlapping", "moving"
# What nodes that show the windows of a model say where the graph sets none.
NO_WINDOWS = "No Panorama Windows before this node: these windows are used without it."


class PanoramaWindows(io.ComfyNode):
    """MODEL to MODEL: sample canvases of any size through overlapping windows of the size the model knows."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaWindows",
            display_name="Panorama Windows",
            category="joint diffusion",
            description="The model sees the canvas through windows of the size that it was trained on. The windows "
            "overlap and are fused at every step (MultiDiffusion), or they move from step to step (SpotDiffusion). "
            "Works with every sampler, ControlNet, masks and areas.",
            search_aliases=[
                *LARGE,
                *WRAP,
                "joint diffusion",
                "mixture of diffusers",
                "spotdiffusion",
                "context windows",
                "hires fix",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Any image model."),
                *(
                    pixels_input(
                        f"window_{side}",
                        f"{side.title()} of a window in pixels. 0: the size that the model was trained on.",
                        most=8192,
                    )
                    for side in ("width", "height")
                ),
                io.Float.Input(
                    "overlap",
                    default=DEFAULT_OVERLAP,
                    min=0.0,
                    max=0.95,
                    step=0.05,
                    tooltip="Part of a window that its neighbour also covers. More is smoother and slower: 0.5 nearly "
                    "doubles the windows of a row and of a column, 0.75 nearly quadruples them.",
                ),
                io.Combo.Input(
                    "windows",
                    options=[*WINDOWS],
                    default=OVERLAPPING,
                    tooltip="overlapping: windows stay where they are, and overlap. moving: windows lie side by side "
                    "and move from step to step (SpotDiffusion); up to four times as fast; overlap is not used.",
                ),
                *wrap_inputs(),
                io.Combo.Input(
                    "weights",
                    options=["feathered", "gaussian", "uniform"],
                    default="feathered",
                    tooltip="How much a window counts near its edges. feathered: falls linearly. gaussian: falls "
                    "smoothly. uniform: the same everywhere, the plain average of the paper.",
                    **ADVANCED,
                ),
                io.Int.Input(
                    "windows_per_batch",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Largest number of windows in one model call. If they do not fit in memory, fewer are "
                    "used. It does not change the picture. 0: automatic.",
                    **ADVANCED,
                ),
            ],
            outputs=[JOINT_MODEL],
        )

    @classmethod
    def execute(
        cls,
        model,
        window_width,
        window_height,
        overlap,
        windows,
        wrap_x,
        wrap_y,
        weights: WeightShape = "feathered",
        windows_per_batch=0,
    ):
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap: must be at least 0 and below 1 (a part of the window), got {overlap}.")
        require_choice("windows", windows, WINDOWS)
        if windows_per_batch < 0:
            raise ValueError(f"windows_per_batch: must be at least 0, got {windows_per_batch}; 0 is automatic.")
        window, step = size_or_native(model, window_height, window_width, "window_"), grid(model)
        params = WindowParams(
            window=window,
            stride=stride_of(window, overlap, step),
            wrap=Wrap(y=wrap_y, x=wrap_x),
            weights=weights,
            batch=windows_per_batch,
            grid=step,
            moving=windows == MOVING,
        )
        return io.NodeOutput(with_settings(model, windows=params))

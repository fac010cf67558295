"""How good a panorama is, in numbers: its seams, its edges, its coherence."""

from functools import partial

import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image

from ..core.canvas.windows import Size, Window
from ..core.measure.panorama import Metrics, panorama_metrics
from ..core.measure.seams import PIXELS_PER_CELL
from ..core.methods.multidiffusion import WindowParams
from .colours import colours_of
from .drawings.measured_panorama import MeasuredPanorama
from .drawings.metrics import draw_metrics
from .host.latents import latent_space
from .host.settings import joint_params, windows_of
from .panorama_windows import NO_WINDOWS


class PanoramaMetrics(io.ComfyNode):
    """Numbers, and a picture of where they come from."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PanoramaMetrics",
            display_name="Panorama Metrics",
            category="joint diffusion",
            description="Measures a finished panorama: seams at the borders of its windows, whether its edges meet, "
            "and whether distant windows look alike. Needs no network and no prompt.",
            search_aliases=[
                "panorama",
                "seam",
                "seams",
                "metrics",
                "quality",
                "coherence",
                "360",
                "measure",
                "compare",
            ],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="Panoramas as they were decoded: not resized, not cropped."),
                io.Model.Input(
                    "model",
                    tooltip="The model that painted them. Its Panorama Windows tells where the windows are, and which "
                    "edges meet.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "picture",
                    display_name="picture",
                    tooltip="Each panorama, with the borders of its windows marked, and its worst seam enlarged.",
                ),
                io.Float.Output(
                    "seam_energy",
                    display_name="seam energy",
                    tooltip="Colour step across the borders of windows, divided by the steps nearby. 1: no seam.",
                ),
                io.Float.Output(
                    "wrap_error_x",
                    display_name="wrap error x",
                    tooltip="Colour step from the last column to the first, divided by the steps nearby. 1: no seam. "
                    "Means nothing if these edges need not meet.",
                ),
                io.Float.Output(
                    "wrap_error_y",
                    display_name="wrap error y",
                    tooltip="Colour step from the last row to the first, divided by the steps nearby. 1: no seam. "
                    "Means nothing if these edges need not meet.",
                ),
                io.Float.Output(
                    "palette_distance",
                    display_name="palette distance",
                    tooltip="Difference between the colours of windows that do not touch, in units of RGB. 0: one "
                    "palette everywhere.",
                ),
                io.Float.Output(
                    "style_distance",
                    display_name="style distance",
                    tooltip="Difference between the textures of windows that do not touch, 0 to 2. 0: one texture "
                    "everywhere.",
                ),
                io.String.Output(
                    "summary",
                    display_name="summary",
                    tooltip="What the numbers mean for this panorama, in words: good, fair or bad.",
                ),
            ],
        )

    @classmethod
    def execute(cls, images, model):
        images = colours_of("images", images)
        if not images.isfinite().all():
            raise ValueError(
                "images: must be finite, but some numbers are NaN or infinite: the VAE, or the model before it, "
                "has computed numbers too large for half precision; start ComfyUI with --fp32-vae or --fp32-unet."
            )
        plan, cell = joint_params(model).windows, latent_space(model).pixels_per_cell
        windows, whole_cells = windows_in_pixels(images, plan, cell), -(-PIXELS_PER_CELL // cell) * cell
        about = partial(MeasuredPanorama, canvas=Size(*images.shape[1:3]), windows=windows, wrap=plan.wrap)
        pictures = images.movedim(-1, 1)
        each = [panorama_metrics(picture[None], windows, plan.wrap, whole_cells) for picture in pictures]
        note = [] if windows_of(model) else [NO_WINDOWS]
        drawn = [_drawn(image, about(metrics=one), note) for image, one in zip(images, each, strict=True)]
        mean = Metrics.mean(each)
        lines = [f"Means of {len(each)} panoramas"] if len(each) > 1 else []
        picture, summary = torch.stack(drawn), "\n".join(lines + about(metrics=mean).lines() + note)
        numbers = [number.item() for number in (mean.seam_energy, *mean[1:])]
        shown = ui.PreviewImage(picture, cls=cls).as_dict() | {"text": (summary,)}
        return io.NodeOutput(picture, *numbers, summary, ui=shown)


def windows_in_pixels(images: torch.Tensor, plan: WindowParams, pixels_per_cell: int) -> tuple[Window, ...]:
    """The windows on pictures (B, H, W, C); `pixels_per_cell` pixels are a latent cell.

    Raises:
        ValueError: the pictures are no whole number of cells.
    """
    height, width = images.shape[1:3]
    if height % pixels_per_cell or width % pixels_per_cell:
        raise ValueError(
            f"images: both sides must be multiples of {pixels_per_cell} pixels, a latent cell of this model, got "
            f"{width} x {height}; connect the panorama as it was decoded, before it is resized or cropped."
        )
    windows = plan.plan(Size(height // pixels_per_cell, width // pixels_per_cell))
    return tuple(window.scaled(pixels_per_cell) for window in windows)


def _drawn(image: torch.Tensor, measured: MeasuredPanorama, note: list[str]) -> torch.Tensor:
    """The picture of one panorama (H, W, 3), as the host has pictures."""
    picture = Image.fromarray((image.clamp(0, 1) * 255).round().byte().cpu().numpy())
    worst = measured.worst_spot(image.movedim(-1, 0))
    sheet = draw_metrics(picture, measured.rows(), measured.columns(), measured.lines() + note, worst)
    return torch.from_numpy(np.array(sheet)).float() / 255

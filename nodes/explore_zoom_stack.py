"""A zoom stack to look around in, in the graph; `web/` has what draws it."""

from uuid import uuid4

from comfy_api.latest import io, ui

from ..core.canvas.windows import canvas_size
from ..core.zoom.between_levels import zoom_centre
from ..core.zoom.geometry import levels_nesting
from .prompt_lines import lines_of
from .search_words import ZOOM
from .zoom_levels import IMAGES, PIXELS_PER_CELL, ZOOM_FACTOR, zoom_levels


class ExploreZoomStack(io.ComfyNode):
    """Zooms by wheel, pinch and keys through all levels."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ExploreZoomStack",
            display_name="Explore Zoom Stack",
            category="joint diffusion",
            description="Shows a zoom stack in the graph. Zoom with the wheel, by pinching or with the keys, as "
            "smoothly as in a video.",
            search_aliases=[*ZOOM, "explore", "viewer", "preview"],
            is_output_node=True,
            inputs=[
                IMAGES,
                ZOOM_FACTOR,
                io.String.Input(
                    "prompts",
                    optional=True,
                    force_input=True,
                    tooltip="Captions of the levels, one per line, outermost first.",
                ),
                PIXELS_PER_CELL,
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, images, zoom_factor, prompts="", pixels_per_cell=8):
        levels = zoom_levels(images, pixels_per_cell)
        captions = lines_of(prompts)
        if captions and len(captions) != len(levels):
            raise ValueError(
                f"prompts: must be one line for each of the {len(levels)} levels, got {len(captions)}; or leave it out."
            )
        size = canvas_size(levels)
        stack = {
            "zoom_factor": zoom_factor,
            "centre": zoom_centre(levels_nesting(levels, zoom_factor, pixels_per_cell), size, zoom_factor)._asdict(),
            "captions": captions,
        }
        # A name of its own: browsers keep pictures by name, and the host counts from 1 again after every start.
        name = f"zoom_{uuid4().hex}"
        saved = ui.ImageSaveHelper.save_images(levels.movedim(1, -1), name, io.FolderType.temp, cls, compress_level=1)
        # Under names of our own: the front end would show `images` a second time, below the explorer.
        return io.NodeOutput(ui={"zoom_levels": saved, "zoom_stack": [stack]})

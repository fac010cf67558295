"""The prompts of a zoom stack, one for each level."""

from typing import NamedTuple

from comfy_api.latest import io

from .prompt_lines import connected, encoded, lines_of, require_a_name_for_each
from .search_words import ZOOM
from .shared_inputs import require_choice
from .zoom_presets import PRESETS

OWN = "own prompts"
DEFAULT_ZOOM_FACTOR = 2
MOST_LEVELS = 100
ZoomPromptsType = io.Custom("ZOOM_PROMPTS")


class StackPrompts(NamedTuple):
    """A ZOOM_PROMPTS: what the levels show, the most zoomed out first."""

    levels: list  # N CONDITIONINGs
    negative: list  # one CONDITIONING for all levels
    prompts: tuple[str, ...]  # N names of the levels, for people
    zoom_factor: int  # zoom factor between neighbouring levels


class ZoomPrompts(io.ComfyNode):
    """One prompt per line, a preset, or connected conditionings."""

    @classmethod
    def define_schema(cls):
        level = io.Conditioning.Input("level", tooltip="What one level shows.")
        return io.Schema(
            node_id="ZoomPrompts",
            display_name="Zoom Prompts",
            category="joint diffusion",
            description="One prompt for each level of a zoom stack, the most zoomed out first. Each level shows the "
            "centre of the level before, zoom_factor times larger.",
            search_aliases=[*ZOOM, "prompt schedule", "prompt travel"],
            inputs=[
                io.Clip.Input("clip", tooltip="Encodes the prompts."),
                io.Combo.Input(
                    "preset",
                    options=[OWN, *PRESETS],
                    default=OWN,
                    tooltip="Ready-made prompts, or your own. The last preset uses the words of the demo model.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    tooltip="One prompt per line, the most zoomed out first, at least two. Put the subject of the "
                    "next line in the middle of this one, and keep the viewpoint. If levels are connected, the lines "
                    "are only their names.",
                ),
                io.String.Input(
                    "negative",
                    multiline=True,
                    default="",
                    tooltip="What no level should show. One text for all levels.",
                ),
                io.Int.Input(
                    "zoom_factor",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="How many times larger each level shows the centre of the level before: 2, 4, ... 0: the "
                    f"factor that the preset was written for, and {DEFAULT_ZOOM_FACTOR} for your own prompts.",
                ),
                io.Autogrow.Input(
                    "levels",
                    template=io.Autogrow.TemplatePrefix(level, prefix="level_", min=0, max=MOST_LEVELS),
                    optional=True,
                    tooltip="In place of text: a conditioning for each level, the most zoomed out first. Each can "
                    "have its own ControlNets, LoRA hooks or regions.",
                ),
            ],
            outputs=[
                ZoomPromptsType.Output("zoom_prompts", display_name="ZOOM_PROMPTS", tooltip="For Zoom Stack Sampler."),
                io.String.Output(
                    "text",
                    display_name="prompts",
                    tooltip="The prompts, one per line: to read, to edit, or for the captions of Explore Zoom Stack.",
                ),
                io.Int.Output(
                    "used_zoom_factor",
                    display_name="zoom_factor",
                    tooltip="The zoom factor in use, for Zoom Video, Zoom Frames and Explore Zoom Stack.",
                ),
            ],
        )

    @classmethod
    def execute(cls, clip, preset, prompts, negative, zoom_factor, levels=None):
        require_choice("preset", preset, [OWN, *PRESETS])
        conditionings = connected(levels)
        lines = _lines(preset, prompts, bool(conditionings))
        if conditionings:
            lines = lines or tuple(f"level {number}" for number in range(len(conditionings)))
            require_a_name_for_each(lines, "levels", len(conditionings))
        if len(lines) < 2:
            raise ValueError(
                f"prompts: a zoom stack has at least 2 levels, one prompt per line, got {len(lines)}; write more "
                "lines, choose a preset, or connect levels."
            )
        if zoom_factor == 0:
            zoom_factor = DEFAULT_ZOOM_FACTOR if preset == OWN else PRESETS[preset].zoom_factor
        if zoom_factor < 2:
            raise ValueError(f"zoom_factor: must be at least 2, or 0 for the usual one, got {zoom_factor}.")
        stack = StackPrompts(
            levels=conditionings or [encoded(clip, line) for line in lines],
            negative=encoded(clip, negative),
            prompts=lines,
            zoom_factor=zoom_factor,
        )
        return io.NodeOutput(stack, "\n".join(lines), zoom_factor)


def _lines(preset: str, prompts: str, has_levels: bool) -> tuple[str, ...]:
    lines = tuple(lines_of(prompts))
    if preset == OWN:
        return lines
    for field, given, way_out in (
        ("prompts", bool(lines), "clear the text"),
        ("levels", has_levels, "disconnect them"),
    ):
        if given:
            raise ValueError(
                f"{field}: must be empty with the preset {preset!r}, which has prompts of its own; {way_out} or choose "
                f"{OWN!r}."
            )
    return PRESETS[preset].prompts

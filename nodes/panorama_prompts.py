"""The prompts of a panorama, each in its place."""

from comfy_api.latest import io

from ..core.canvas.places import shares
from .host.latents import latent_space, sampled_size
from .host.settings import joint_params
from .host.windows.placed_prompts import in_places
from .prompt_lines import connected, encoded, lines_of, require_a_name_for_each
from .shared_inputs import pixels_input

MOST_PLACES = 100  # that can be connected; lines of text have no limit


class PanoramaPrompts(io.ComfyNode):
    """One prompt per line, or connected conditionings, side by side or on a grid."""

    @classmethod
    def define_schema(cls):
        place = io.Conditioning.Input("place", tooltip="What one place shows.")
        return io.Schema(
            node_id="PanoramaPrompts",
            display_name="Panorama Prompts",
            category="joint diffusion",
            description="Prompts side by side along a panorama, or on a grid. They pass softly into each other. Each "
            "prompt runs only in the windows that it reaches.",
            search_aliases=[
                "panorama",
                "360",
                "regional prompt",
                "regions",
                "area",
                "prompt travel",
                "prompts along x",
                "prompt schedule",
                "tiled diffusion",
                "multidiffusion",
            ],
            inputs=[
                io.Clip.Input("clip", tooltip="Encodes the prompts."),
                io.Model.Input("model", tooltip="The model after Panorama Windows, which says which edges meet."),
                io.Latent.Input("samples", tooltip="The canvas: the same latent that the sampler gets."),
                io.String.Input(
                    "everywhere",
                    multiline=True,
                    default="",
                    tooltip="What all places show, such as the medium, the light, the style. It comes before each "
                    "prompt.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    tooltip="One prompt per line, from left to right; on a grid row by row, the top row first. If "
                    "places are connected, the lines are only their names.",
                ),
                io.Int.Input(
                    "columns",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Prompts side by side. 0: as many as there are prompts in a row.",
                ),
                io.Int.Input(
                    "rows",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Rows of prompts. 1: all prompts are side by side, each as high as the canvas.",
                ),
                pixels_input(
                    "border",
                    "Width in pixels of the border in which one prompt passes into the next. 0: as wide as a "
                    "window, but not wider than a place. Wider borders need more predictions.",
                    most=65536,
                ),
                io.Autogrow.Input(
                    "places",
                    template=io.Autogrow.TemplatePrefix(place, prefix="place_", min=0, max=MOST_PLACES),
                    optional=True,
                    tooltip="In place of text: a conditioning for each place, in the same order. Each can have its own "
                    "ControlNets, LoRA hooks, schedule (ConditioningSetTimestepRange), masks or areas.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning",
                    display_name="CONDITIONING",
                    tooltip="For `positive` of a sampler. Panorama Plan shows where each prompt reaches.",
                )
            ],
        )

    @classmethod
    def execute(cls, clip, model, samples, everywhere, prompts, columns, rows, border, places=None):
        names, conditionings = lines_of(prompts), connected(places)
        if conditionings:
            names = names or [f"place {number}" for number in range(1, len(conditionings) + 1)]
            if everywhere.strip():
                raise ValueError(
                    "everywhere: is put before prompts that are lines of text, but places are connected; clear it, and "
                    "put its text into each of them, for example with Conditioning (Concat)."
                )
            require_a_name_for_each(names, "places", len(conditionings))
        rows, columns = _grid(len(names), rows, columns)
        parts = shares(*_layout(model, samples, rows, columns, border))
        return io.NodeOutput(
            in_places(conditionings or _encoded(clip, everywhere.strip().rstrip(","), names), names, parts)
        )


def _grid(count: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of `count` places; 0 columns are as many as there must be."""
    if count == 0:
        raise ValueError(
            "prompts: there must be at least one, one prompt per line, got none; write some lines, or connect places."
        )
    for field, given, least in (("rows", rows, 1), ("columns", columns, 0)):
        if given < least:
            raise ValueError(f"{field}: must be at least {least}, got {given}.")
    wanted = rows * (columns or -(-count // rows))
    if count != wanted:
        raise ValueError(
            f"prompts: {wanted // rows} columns x {rows} rows have {wanted} places, each for one prompt, got {count}; "
            f"{'write' if count < wanted else 'remove'} {abs(wanted - count)}, or change columns or rows."
        )
    return rows, wanted // rows


def _layout(model, samples, rows: int, columns: int, border: int):
    """What `shares` asks for; the border is in pixels, and 0 is the usual one."""
    if border < 0:
        raise ValueError(f"border: must be at least 0 pixels (0: as wide as a window), got {border}.")
    windows, canvas = joint_params(model).windows, sampled_size(model, samples)
    usual = min(windows.window.height, canvas.height / rows), min(windows.window.width, canvas.width / columns)
    given = border / latent_space(model).pixels_per_cell
    return canvas, rows, columns, (given, given) if border else usual, windows.wrap


def _encoded(clip, everywhere: str, lines: list[str]) -> list:
    """A conditioning for each line; equal lines share one."""
    texts = [f"{everywhere}, {line}" if everywhere else line for line in lines]
    conditionings = {text: encoded(clip, text) for text in dict.fromkeys(texts)}
    return [conditionings[text] for text in texts]

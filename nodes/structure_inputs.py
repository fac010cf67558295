"""The inputs of nodes that keep the structure of a picture."""

from comfy_api.latest import io

from ..core.methods.structure import StructureParams
from .shared_inputs import ADVANCED, part_input

END = StructureParams().roll_off.none


def structure_inputs() -> list:
    """structure and structure_end."""
    return [
        part_input(
            "structure", "How closely the result keeps the picture, at any denoise. 0: plain img2img.", default=1.0
        ),
        io.Float.Input(
            "structure_end",
            default=END,
            min=0.001,
            max=10.0,
            step=0.01,
            round=False,
            tooltip="Noise, relative to the picture, at which the structure is let go. Higher: freer and sharper "
            "details. Lower: closer to the picture to the end.",
            **ADVANCED,
        ),
    ]

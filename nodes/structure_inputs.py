"""The inputs of nodes that keep the structure of a picture."""

from comfy_api.latest import io

from ..core.methods.structure import StructureParams

END = StructureParams().roll_off.none


def structure_inputs() -> list:
    """structure and structure_end."""
    return [
        io.Float.Input(
            "structure",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How closely the result keeps the picture, at any denoise. 0: plain img2img.",
        ),
        io.Float.Input(
            "structure_end",
            default=END,
            min=0.001,
            max=10.0,
            step=0.01,
            round=False,
            optional=True,
            advanced=True,
            tooltip="Noise, in parts of the picture, at which the structure is let go. Higher: freer and sharper "
            "details. Lower: closer to the picture to the end.",
        ),
    ]

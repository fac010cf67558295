"""Inputs and outputs that many nodes have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comfy_api.latest import io

ADVANCED: dict[str, Any] = {
    "optional": True,
    "advanced": True,
}  # below the fold, and with a default for saved workflows

# What nodes that guide windows say of the windows.
USED_WINDOWS = (
    "Uses the windows of Panorama Windows; without that node, windows of the size that the model was trained on, with "
    "half overlap."
)
MODEL = io.Model.Input(
    "model", tooltip="Any image model. Panorama Windows can come before or after this node, or be left out."
)
JOINT_MODEL = io.Model.Output("model", display_name="MODEL", tooltip="The model, for any sampler.")


def part_input(
    name: str, tooltip: str, *, default: float, least: float = 0.0, step: float = 0.05, **options: Any
) -> io.Float.Input:
    """A part of something: `least` to 1."""
    return io.Float.Input(name, default=default, min=least, max=1.0, step=step, tooltip=tooltip, **options)


def pixels_input(
    name: str, tooltip: str, *, most: int, default: int = 0, least: int = 0, **options: Any
) -> io.Int.Input:
    """A length in pixels, in steps of 8: `least` to `most`."""
    return io.Int.Input(name, default=default, min=least, max=most, step=8, tooltip=tooltip, **options)


def wrap_inputs(**options: Any) -> list:
    """wrap_x and wrap_y."""
    return [
        io.Boolean.Input(
            "wrap_x", default=False, tooltip="The left and the right edge meet (a 360 degree panorama).", **options
        ),
        io.Boolean.Input("wrap_y", default=False, tooltip="The top and the bottom edge meet.", **options),
    ]


def require_choice(field: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse a choice that there is not. ComfyUI looks at those of widgets only, and not at what is connected.

    Raises:
        ValueError: `value` is not among the `choices`.
    """
    known = [*choices]
    if value not in known:
        raise ValueError(f"{field}: must be one of {', '.join(known)}, got {value!r}.")


def require_nothing_left_over(field: str, choices: Sequence[str], left_over: Mapping[str, Any]) -> None:
    """Refuse what is connected to a choice that there is not: ComfyUI drops the choice, and hands over only that.

    Raises:
        ValueError: there is something in `left_over`.
    """
    if left_over:
        raise ValueError(
            f"{field}: must be one of {', '.join(choices)}, got another choice, for which {', '.join(left_over)} "
            "cannot be used; choose one of them."
        )

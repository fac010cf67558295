"""Pictures and masks that nodes have patched into the model (IP-Adapter, DiffSynth, ...), cut to windows.

They are not in the conditioning. They lie in the patches, in attributes of objects and in variables of functions. While
a window is predicted these hold its part, and afterwards the whole again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ....core.canvas.windows import Size, Window, canvas_size, crop
from ..gradients.inference_tensors import thawed
from ..replaced import replaced
from .model_patches import PICTURES, STYLES, Parts
from .spatial import NODE, Placement, same_proportions
from .variables import Variables, changed, opened, tensors_in

PATCHES = ("patches", "patches_replace")  # of the model, and of hooks in the conditioning


class Held(NamedTuple):
    """A variable with something in it that lies on the canvas."""

    variables: Variables
    name: str


class Carriers:
    """What the patches of one run carry. Lives for the run."""

    def __init__(self, options: dict[str, Any], canvas: Size):
        """Look through the model options that a run on this canvas begins with.

        Raises:
            ValueError: a picture or a mask that cannot be cut; names its carrier.
        """
        self._canvas = canvas
        self._placement = Placement(canvas)
        self._known: list[tuple[Any, Callable[[Any, Size], Parts]]] = []
        self._held: list[Held] = []
        self._has_style = False
        self._parts_of: dict[tuple[int, Size], Parts] = {}
        self._fitted: dict[tuple[int, Size], tuple[Tensor, Tensor]] = {}
        seen: set[int] = set()
        for carrier in patches_of(options):
            self._look_into(carrier, seen)
        # It calls the model, and may keep what it was told: only what lies on the canvas is surely a picture.
        for thing, variables in opened(options.get("model_function_wrapper"), seen):
            self._find(thing, variables, refuse_pictures=False)
        # Whether the model must be asked about one window at a time. Only a patch itself knows which rows of what it
        # holds belong to which rows of a batch. For a single window they are as for a picture of its size.
        self.one_by_one = bool(self._known or self._held or self._has_style)

    @contextmanager
    def cut(self, windows: Sequence[Window], canvas: Size, device: torch.device) -> Iterator[None]:
        """Inside, patches hold what lies in the only one of `windows`, on the run's own canvas or a coarser one.

        Only if `one_by_one`; `device` is that of the views.
        """
        (window,) = windows
        with replaced(self._parts(window, canvas, device)):
            yield

    def _look_into(self, carrier: Any, seen: set[int]) -> None:
        name = type(carrier).__name__
        if name in PICTURES or name in STYLES:
            if id(carrier) not in seen:
                seen.add(id(carrier))
                self._has_style |= name in STYLES
                if name in PICTURES:
                    self._known.append((carrier, PICTURES[name]))
            return
        for thing, variables in opened(carrier, seen):
            self._find(thing, variables)

    def _find(self, thing: Any, variables: Variables, refuse_pictures: bool = True) -> None:
        for name, value in list(variables.items()):
            if isinstance(thing, nn.Module) and name.startswith("_"):  # weights
                continue
            tensors = list(tensors_in(name, value))
            for called, tensor in tensors:
                if _is_mask(called, tensor):
                    self._require_proportions(thing, called, tensor)
            if any(self._lies_on_canvas(called, tensor) for called, tensor in tensors):
                self._held.append(Held(variables, name))
            elif refuse_pictures and isinstance(value, Tensor) and _is_picture(thing, value):
                raise ValueError(
                    f"{NODE} cannot cut the picture that {_name(thing)} gives to the whole model ('{name}' of shape "
                    f"{tuple(value.shape)}): every window would see all of it. Use a ControlNet with Apply ControlNet "
                    f"instead, or remove the node."
                )

    def _require_proportions(self, thing: Any, name: str, mask: Tensor) -> None:
        size = canvas_size(mask)
        if not same_proportions(size, self._canvas):
            raise ValueError(
                f"{NODE} cannot cut a mask of {_name(thing)} to windows: '{name}' has {size.width} x {size.height} "
                f"values, and a mask needs the proportions of the canvas, {self._canvas.width} x "
                f"{self._canvas.height} latent cells. Make the mask as large as the canvas, or remove it."
            )

    def _lies_on_canvas(self, name: str, tensor: Tensor) -> bool:
        return _is_mask(name, tensor) or self._placement.is_whole(tensor)

    def _parts(self, window: Window, canvas: Size, device: torch.device) -> Iterator[tuple[Variables, str, Any]]:
        for carrier, parts_of in self._known:
            key = (id(carrier), canvas)
            if key not in self._parts_of:
                self._parts_of[key] = parts_of(carrier, canvas)
            for name, part in self._parts_of[key].items():
                value = part(window)
                yield vars(carrier), name, _ready(value.to(device) if isinstance(value, Tensor) else value)
        for variables, name in self._held:
            whole = variables[name]
            yield variables, name, changed(name, whole, lambda called, one: self._part(called, one, window, canvas))

    def _part(self, name: str, tensor: Tensor, window: Window, canvas: Size) -> Tensor:
        if not self._lies_on_canvas(name, tensor):
            return tensor
        whole = self._on(canvas, tensor)
        return _ready(crop(whole, window.scaled(whole.shape[-1] // canvas.width)))

    def _on(self, canvas: Size, tensor: Tensor) -> Tensor:
        """(..., H, W) with as many values in every cell of the canvas."""
        size = canvas_size(tensor)
        if size == self._canvas and tensor.is_floating_point():  # truths have no mean
            return self._placement.on(canvas, tensor)
        times = max(size.height / canvas.height, size.width / canvas.width)
        per_cell = 1 if size == self._canvas else max(1, round(times))
        wanted = canvas.scaled(per_cell)
        if size == wanted:
            return tensor
        key = (id(tensor), canvas)
        if key not in self._fitted:
            flat = tensor.reshape(-1, 1, *size).float()
            mode = "bilinear" if tensor.is_floating_point() else "nearest-exact"
            fitted = torch.nn.functional.interpolate(flat, wanted, mode=mode).to(tensor.dtype)
            self._fitted[key] = tensor, fitted.reshape(*tensor.shape[:-2], *wanted)
        return self._fitted[key][1]


def patches_of(options: dict[str, Any]) -> Iterator[Any]:
    """What nodes, and hooks in the conditioning, have patched into the model."""
    for where in (options.get("transformer_options", {}), options.get("to_load_options", {})):
        for kind in PATCHES:
            for patches in where.get(kind, {}).values():
                yield from patches.values() if isinstance(patches, dict) else patches


def _is_mask(name: str, tensor: Tensor) -> bool:
    return "mask" in name.lower() and tensor.ndim >= 2 and min(tensor.shape[-2:]) > 1


def _is_picture(thing: Any, tensor: Tensor) -> bool:
    # Functions remember more than what they were given, such as maps of attention: (rows, heads, tokens, tokens).
    few_channels = tensor.ndim >= 4 and min(tensor.shape[-1], tensor.shape[-3]) <= 4
    return few_channels if isinstance(thing, FunctionType) else tensor.ndim >= 4


def _ready(value: Any) -> Any:
    return value if torch.is_inference_mode_enabled() else thawed(value)  # autograd may save it


def _name(thing: Any) -> str:
    what = thing if isinstance(thing, FunctionType) else type(thing)
    return f"{what.__qualname__.replace('.<locals>', '')} ({what.__module__})"

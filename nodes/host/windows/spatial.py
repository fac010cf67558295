"""What in the conditioning has a place on the canvas, and how it is cut to windows."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import comfy.conds
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ....core.canvas.resample import downsample
from ....core.canvas.windows import Size, Window, canvas_size, crop, crop_batch
from ....core.methods.multiscale import FACTOR

NODE = "Panorama Windows"

# Spatial although they are not of the canvas' size: Stable Cascade's stage C latent, PiD's low-resolution latent,
# Wan's poses and camera rays.
ANOTHER_SCALE = ("effnet", "lq_latent", "pose_latents", "camera_conditions")
# Lists of latents: pictures that the model edits or looks at (Flux Kontext, Qwen Image Edit, ...).
REFERENCES = ("ref_latents", "context_latents")
TOKEN = 2  # cells along a side
# How far the proportions of a picture may be from those of the canvas: a cell more or less at its edge.
TOLERANCE = 0.07


class Views(NamedTuple):
    """Windows of one size on a canvas; the model sees them stacked window-major, row = window * batch + image."""

    windows: tuple[Window, ...]
    canvas: Size
    batch: int

    @property
    def shape(self) -> Size:
        """The size that all the windows have."""
        return self.windows[0].size

    def crop(self, tensor: Tensor) -> Tensor:
        """(1 or B, ..., H, W) to (N*B, ..., h, w); a row short of B is repeated as ComfyUI repeats conditioning."""
        return crop_batch(comfy.utils.repeat_to_batch_size(tensor, self.batch), self.windows)

    def whole(self, tensor: Tensor) -> Tensor:
        """The same rows for every window: (rows, ...), which stay in step when the host tiles them to N*B."""
        return tensor if self.batch % len(tensor) == 0 else comfy.utils.repeat_to_batch_size(tensor, self.batch)


class Placement:
    """Masks, areas and spatial tensors of one run, resized once to each canvas that windows are cut from.

    Caches are keyed by identity; the key's object is kept beside the value, so that its id cannot be used again.
    """

    def __init__(self, canvas: Size):
        """`canvas` is the size of the run's own x, for which ComfyUI has prepared the conditioning."""
        self._canvas = canvas
        self._masks: dict[tuple[Any, ...], tuple[Any, Tensor]] = {}
        self._resized: dict[tuple[int, Size], tuple[Tensor, Tensor]] = {}
        self._covered: dict[tuple[int, tuple[Window, ...]], tuple[Tensor, list[bool]]] = {}

    def mask(
        self, entry: Mapping[str, Any], dims: tuple[int, ...], device: torch.device, canvas: Size
    ) -> Tensor | None:
        """Where on `canvas` an entry of the conditioning counts: (rows, ..., H, W), or None for everywhere.

        An area cannot be kept: within a batch ComfyUI narrows all rows alike. It becomes a mask.

        Args:
            entry: one conditioning after `process_conds`.
            dims: the dimensions of x behind its channels, (H, W) or (frames, H, W), on the run's own canvas.
            device: of the mask of an area; a mask of the user stays where it is.
            canvas: the size asked for.
        """
        mask, area = entry.get("mask"), entry.get("area")
        if area is None:
            return None if mask is None else self.on(canvas, mask)
        key = (id(mask), tuple(area))
        if key not in self._masks:
            self._masks[key] = mask, area_mask(area, mask, dims, device)
        return self.on(canvas, self._masks[key][1])

    def covers(self, mask: Tensor, windows: Sequence[Window]) -> list[bool]:
        """In which windows a mask from `mask` is anywhere non-zero. Remembered, as asking waits for the GPU."""
        key = (id(mask), tuple(windows))
        if key not in self._covered:
            self._covered[key] = mask, torch.stack([crop(mask, window).any() for window in windows]).tolist()
        return self._covered[key][1]

    def forget_windows(self) -> None:
        """Which masks cover which windows."""
        self._covered.clear()

    def has(self, key: str, value: comfy.conds.CONDRegular) -> bool:
        """Whether a model cond is spatial, or a list with something spatial in it."""
        cond = getattr(value, "cond", None)
        if isinstance(cond, list):
            return key in REFERENCES and any(self.is_whole(tensor) for tensor in cond)
        if not isinstance(cond, Tensor):
            return False
        if isinstance(value, comfy.conds.CONDNoiseShape) or key in ANOTHER_SCALE:
            return True
        return key != "attention_mask" and self.is_whole(cond)

    def is_whole(self, tensor: Tensor) -> bool:
        """Whether it is as large as the run's own canvas, cell for cell, and so a picture of all of it."""
        return tensor.ndim >= 4 and canvas_size(tensor) == self._canvas

    def crop(self, key: str, cond: Any, views: Views) -> Any:
        """What is spatial of model cond `key`, as the views see it: (1 or B, ..., H, W) to (N*B, ..., h, w).

        Of a list of pictures those that are as large as the canvas; the others are shown to every view as they are.

        Raises:
            ValueError: the tensor's cells are larger than the canvas' and the windows do not begin and end on them.
        """
        if isinstance(cond, list):
            return [self._crop(key, one, views) if self.is_whole(one) else views.whole(one) for one in cond]
        return self._crop(key, cond, views)

    def size_of_references(self, value: comfy.conds.CONDList, view: Size) -> list[int]:
        """`value.size()`, which ComfyUI estimates memory by, of what a view of that size gets of references."""
        shapes = [[*one.shape[:-2], *(view if self.is_whole(one) else one.shape[-2:])] for one in value.cond]
        channels = shapes[-1][1]
        return [1, channels, sum(map(prod, shapes)) // channels]

    def on(self, canvas: Size, tensor: Tensor, stretch: bool = False) -> Tensor:
        """A tensor (..., H, W) of the run's own canvas on a canvas of the run: averaged as the canvas itself is."""
        if canvas == self._canvas and not stretch:
            return tensor
        key = (id(tensor), canvas)
        if key not in self._resized:
            resized = tensor
            if stretch:  # as Stage B itself stretches it over x, whatever its size
                resized = torch.nn.functional.interpolate(tensor, self._canvas, mode="bilinear", align_corners=True)
            while resized.shape[-2] > canvas.height:  # scale by scale, as x itself
                resized = downsample(resized, FACTOR)
            self._resized[key] = tensor, resized
        return self._resized[key][1]

    def _crop(self, key: str, tensor: Tensor, views: Views) -> Tensor:
        tensor = self.on(views.canvas, tensor, stretch=key == "effnet")
        size = canvas_size(tensor)
        if size == views.canvas:
            return views.crop(tensor)
        what = f"'{key}' in the conditioning"
        windows = tuple(_in_cells_of(what, window, views.canvas, size) for window in views.windows)
        return Views(windows, size, views.batch).crop(tensor)


def same_proportions(size: Size, canvas: Size) -> bool:
    """Whether a picture of that size, in any unit, covers the canvas without being stretched."""
    across, along = size.height / canvas.height, size.width / canvas.width
    return abs(across - along) <= TOLERANCE * max(across, along)


def area_mask(area: tuple[int, ...], mask: Tensor | None, dims: tuple[int, ...], device: torch.device) -> Tensor:
    """(rows, *dims): an area as a mask, with the soft edge that ComfyUI gives to areas, or `mask` inside the area.

    ComfyUI's own function makes the weights, without the strengths; they stay in the conditioning.
    """
    region: dict[str, Any] = {"area": area, "model_conds": {}, "uuid": None}
    if mask is not None:
        region["mask"] = mask
        device = mask.device
    canvas = torch.zeros(1 if mask is None else mask.shape[0], 1, *dims, device=device)
    part = comfy.samplers.get_area_and_mult(region, canvas, None)
    inside = canvas
    for dim, (length, start) in enumerate(zip(part.area[: len(dims)], part.area[len(dims) :], strict=True)):
        inside = inside.narrow(dim + 2, start, length)
    inside.copy_(part.mult)
    return canvas[:, 0]


def attention_mask_of(views: Views, mask: Tensor) -> Tensor:
    """Which token sees which: (1 or B, T + H W, T + H W) to (N*B, T + h w, T + h w).

    The mask is that of the whole canvas, whose H x W tokens are blocks of 2 x 2 cells (Flux), after T tokens of text.

    Raises:
        ValueError: a window does not begin and end on tokens.
    """
    tokens = Size(*(-(-side // TOKEN) for side in views.canvas))
    text = mask.shape[-1] - tokens.height * tokens.width
    of_canvas = text + torch.arange(tokens.height * tokens.width, device=mask.device).unflatten(0, tokens)
    mask, parts = comfy.utils.repeat_to_batch_size(mask, views.batch), []
    for window in views.windows:
        chosen = cut("the attention mask in the conditioning", of_canvas, window, views.canvas).flatten()
        chosen = torch.cat([torch.arange(text, device=mask.device), chosen])
        parts.append(mask[:, chosen][:, :, chosen])
    return torch.cat(parts)


def cut(what: str, whole: Tensor, window: Window, canvas: Size) -> Tensor:
    """The part of `whole` (..., H, W), a picture of the canvas in larger or smaller cells, that lies in the window.

    Raises:
        ValueError: the window does not begin and end on the cells of the picture; `what` names it.
    """
    return crop(whole, _in_cells_of(what, window, canvas, canvas_size(whole)))


def _in_cells_of(what: str, window: Window, canvas: Size, size: Size) -> Window:
    ratios = (size.height, canvas.height), (size.width, canvas.width)
    cells = [divmod(value * ratios[axis % 2][0], ratios[axis % 2][1]) for axis, value in enumerate(window)]
    if any(rest for _, rest in cells):
        raise ValueError(
            f"{NODE}: {what} has {size.width} x {size.height} cells for a canvas of "
            f"{canvas.width} x {canvas.height} and cannot be cut at {window}. Choose a window size and stride that "
            f"fall on its cells, or remove the node that adds it."
        )
    return Window(*(cell for cell, _ in cells))

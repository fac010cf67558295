"""ControlNets and T2I adapters on windows: every view gets its own part of the hint."""

import copy
from collections.abc import Sequence
from threading import Lock
from typing import Any

import comfy.controlnet
import comfy.utils
import torch
from comfy.controlnet import ControlBase
from torch import Tensor

from ....core.canvas.windows import Size, canvas_size
from ..settings import CALL
from .spatial import NODE, Views

KEPT = ("cond_hint", "control_input", "timestep_range")  # what a call here changes, and puts back
NEVER = (-1.0, -1.0)  # a range of noise levels


class Hints:
    """The hints of one run, each built once per canvas size."""

    def __init__(self):
        """Start empty."""
        self._hints: dict[tuple[int, Size], tuple[ControlBase, Tensor]] = {}
        self._building = Lock()  # of nets on several devices, which may share a VAE

    def whole(self, net: ControlBase, canvas: Size, batch: int, call: tuple[Any, ...]) -> Tensor | None:
        """The hint (1 or B, ..., H, W) that `net` would use on the whole canvas; None where it does not run.

        ComfyUI builds it: a copy of the net that records its hint in place of running is called with an empty canvas of
        `batch` rows (B). `call` has the arguments of the `get_control` that the hint is for.
        """
        _, sigma, _, _, transformer_options = call
        if not _runs(net, sigma, transformer_options):
            return None
        with self._building:
            if (id(net), canvas) not in self._hints:
                self._hints[id(net), canvas] = net, _hint(net, canvas, batch, call)
            return self._hints[id(net), canvas][1]


class WindowControl(ControlBase):
    """A chain of nets as windows see it.

    A net fits its hint to the size of x, from the centre of the image, and keeps it while only the size stays the
    same: every window would get the same centre. So each call is given the stacked parts of the hint beforehand.

    The chain hangs on `previous_controlnet`; what is not overridden here ComfyUI's base class passes on to it.
    """

    def __init__(self, chain: ControlBase, views: Views, hints: Hints, rows: Sequence[int] | None = None):
        """Wrap `chain` for a batch of windows, or for these rows of its N*B views only.

        Raises:
            ValueError: a net of the chain builds its hint in its own way.
        """
        super().__init__()
        self.previous_controlnet = chain
        self._views = views
        self._hints = hints
        self._rows = rows
        self._nets = list(_nets(chain))
        for net in self._nets:
            # ComfyUI's own nets take a `cond_hint` that fits x as it is; what other nets do with it is unknown.
            if type(net).get_control.__module__ != comfy.controlnet.__name__:
                raise ValueError(
                    f"{NODE} cannot cut the hint of {type(net).__name__} ({type(net).__module__}) to windows, only "
                    f"those of ComfyUI's own ControlNets and T2I adapters. Load the model with Load ControlNet Model "
                    f"and apply it with Apply ControlNet."
                )

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        """The chain's output for the views `x_noisy` (conds * N*B, C, ..., h, w)."""
        call = (x_noisy, t, cond, batched_number, transformer_options)
        before = [(net, {name: vars(net)[name] for name in KEPT if name in vars(net)}) for net in self._nets]
        try:
            for net, kept in before:
                hint = self._hints.whole(net, self._views.canvas, self._views.batch, call)
                vars(net).update(dict.fromkeys(kept))
                net.cond_hint = None if hint is None else self._parts(net, hint, x_noisy)
                net.timestep_range = NEVER if hint is None else None
            return self.previous_controlnet.get_control(*call)
        finally:
            for net, kept in before:
                vars(net).update(kept)

    def get_instance_for_device(self, device):
        """The same for the copies of the nets on another device."""
        chain = self.previous_controlnet.get_instance_for_device(device)
        same = chain is self.previous_controlnet
        return self if same else WindowControl(chain, self._views, self._hints, self._rows)

    def of_rows(self, rows: Sequence[int]) -> "WindowControl":
        """The same for some rows of the views only."""
        return WindowControl(self.previous_controlnet, self._views, self._hints, rows)

    def _parts(self, net: ControlBase, hint: Tensor, x: Tensor) -> Tensor:
        pixels_per_cell = net.compression_ratio
        windows = tuple(window.scaled(pixels_per_cell) for window in self._views.windows)
        parts = self._views._replace(windows=windows).crop(hint).to(x.device)
        block = getattr(getattr(net, "t2i_model", None), "unshuffle_amount", 1)
        if parts.shape[-2] % block or parts.shape[-1] % block:
            raise ValueError(
                f"{NODE}: this T2I adapter needs windows whose sides are multiples of {block} pixels, got "
                f"{parts.shape[-1]} x {parts.shape[-2]}. Choose another window size."
            )
        if parts.shape[2:4] != tuple(pixels_per_cell * side for side in x.shape[2:4]):  # it would build its own hint
            raise ValueError(
                f"{NODE}: {type(net).__name__} takes no hint of shape {tuple(parts.shape)} for views of shape "
                f"{tuple(x.shape)}; this net does not fit the model."
            )
        return parts if self._rows is None else parts[list(self._rows)]


class _Recorder:
    """Stands in for the network of a ControlNet or T2I adapter and keeps the hint it is called with."""

    def __init__(self, net: ControlBase):
        network = getattr(net, "control_model", None) or net.t2i_model
        self.dtype = getattr(network, "dtype", None)
        self.unshuffle_amount = getattr(network, "unshuffle_amount", None)
        self.hint: Tensor

    def __call__(self, image: Any = None, *, hint: Any = None, **_) -> dict[str, list[Tensor]]:
        self.hint = hint if image is None else image
        return {}

    def to(self, _) -> None:
        """Weights stay where they are."""

    def cpu(self) -> None:
        """Weights stay where they are."""


def _runs(net: ControlBase, sigma: Tensor, transformer_options: dict[str, Any]) -> bool:
    """Whether the net is on: at the noise level of the sampler's step, also for a coarser canvas with its own level."""
    if net.timestep_range is None:
        return True
    level = getattr(transformer_options.get(CALL), "step_sigma", None)
    if level is None:
        level = float(sigma[0])  # waits for the GPU
    return net.timestep_range[1] <= level <= net.timestep_range[0]


def _hint(net: ControlBase, canvas: Size, batch: int, call: tuple[Any, ...]) -> Tensor:
    x, sigma, cond, _, transformer_options = call
    recorder = _Recorder(net)
    stand_in = copy.copy(net)
    stand_in.previous_controlnet = stand_in.cond_hint = None
    stand_in.control_model = stand_in.t2i_model = recorder
    stand_in.control_input = stand_in.timestep_range = None
    empty = x.new_zeros(1).expand(batch, *x.shape[1:-2], *canvas)
    with torch.no_grad():
        stand_in.get_control(empty, sigma[:1].expand(batch), cond, 1, transformer_options)
        # In ordinary memory, which is the larger one: a hint is as large as the picture.
        return _fitted(recorder.hint, net, canvas).cpu()


def _nets(chain: ControlBase | None):
    while chain is not None:
        yield chain
        chain = chain.previous_controlnet


def _fitted(hint: Tensor, net: ControlBase, canvas: Size) -> Tensor:
    # T2I adapters round the size of their hint up to the blocks that they unshuffle.
    height, width = canvas.height * net.compression_ratio, canvas.width * net.compression_ratio
    if canvas_size(hint) == (height, width):
        return hint
    return comfy.utils.common_upscale(hint, width, height, net.upscale_algorithm, "disabled")

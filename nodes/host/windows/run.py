"""One sampling run of one canvas."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import comfy.model_sampling
from comfy.samplers import CFGGuider, Sampler
from torch import Tensor

from ....core.canvas.fusion import WindowWeights
from ....core.canvas.windows import Size, Window, canvas_size
from ....core.joint_step import Look, check_canvas, fusion_weights
from ....core.methods.multidiffusion import WindowParams
from ....core.methods.twindiffusion import CropFusionParams
from ....core.step import Step
from ..gradients.rehearsal import kept_per_step
from ..gradients.saved_tensors import Backpropagation
from ..memory import fits
from ..settings import LEVEL, joint_params, settings_of
from .conditioning import Entry, WindowConditioning
from .finite import FirstNotFinite
from .hook_states import HookStates

Conds = Sequence[list[Entry] | None]
Active = tuple[tuple[int, ...], ...]

# Beyond this many windows a GPU is busy anyway, and an interrupt would only wait longer.
MOST_WINDOWS = 8
# Sets of windows that are remembered: each has its weights, and its part of the conditioning.
MOST_KEPT_WEIGHTS = 16
# A backward pass holds about this many times the memory of a prediction with, and without, checkpoints in the model.
GRADIENT_MEMORY = 4
GRADIENT_MEMORY_WITHOUT_CHECKPOINTS = 20


class Run:
    """What lasts as long as one run: methods, conditioning, and what the sampler keeps of x at each step."""

    def __init__(self, guider: CFGGuider, sampler: Sampler, sigmas: Tensor, extra_args: dict[str, Any], noise: Tensor):
        """Look at everything once, before the first step.

        Raises:
            ValueError: the canvas, the model or the graph does not allow joint sampling; the message says what to do.
        """
        options = extra_args["model_options"]
        _refuse_what_cannot_be_windowed(guider, options, noise)
        self.model = guider.inner_model
        self.scale_map = getattr(self.model.latent_format, "scale_map", None)  # of the bundled model
        self.params = joint_params(guider.model_patcher, options)
        seed = extra_args.get("seed") or 0
        if self.params.windows.moving:
            self.params = replace(self.params, windows=replace(self.params.windows, seed=seed))
        self.picture_loss = settings_of(options).picture_loss
        if self.picture_loss is not None:
            self.picture_loss = self.picture_loss.on(noise.device)
        guided = self.params.guided
        _refuse_caches(options, guided)
        canvas = canvas_size(noise)
        self.hook_states = HookStates(options)
        self.hooks_of_nodes = len(options.get("sampler_post_cfg_function", []))
        self.finite = FirstNotFinite()
        self._levels: list[float] = sigmas.tolist()
        self._kept = [0.0] * (len(self._levels) - 1)
        self._weights: dict[tuple[Size, WindowParams, CropFusionParams | None], WindowWeights] = {}
        self.backpropagation = Backpropagation()
        self._most: dict[bool, int] = {}  # windows in a call without and with gradients, after memory ran out
        check_canvas(canvas, self.params)
        if self.params.needs_gradients:
            _refuse_rising(self._levels)
            self._kept = kept_per_step(sampler, guider, sigmas, extra_args)
        self.conditioning = WindowConditioning(self.model, canvas, conds=guider.conds, seed=seed)

    def step_at(self, sigma: float) -> Step:
        """The step that an evaluation at `sigma` belongs to: the last one that begins at or above it.

        At or below it where the noise rises (unsampling).
        """
        sign = 1 if self._levels[-1] <= self._levels[0] else -1
        begun = (i for i, level in enumerate(self._levels[:-1]) if sign * (level - sigma) >= -1e-4 * sigma)
        return self._step(sigma, max(begun, default=0))

    def look(self, x: Tensor, step: Step) -> Look:
        """At the canvas x, without guidance."""
        return Look(params=self.params.windows_at(step), weights=self.fusion_weights(x, step))

    @property
    def first_step(self) -> Step:
        """The step that the run begins with."""
        return self._step(self._levels[0], 0)

    def _step(self, sigma: float, index: int) -> Step:
        flow = isinstance(self.model.model_sampling, comfy.model_sampling.CONST)
        span = (self._levels[index], self._levels[index + 1])
        return Step(sigma=sigma, kept=self._kept[index], index=index, count=len(self._kept), flow=flow, span=span)

    def groups(self, conds: Conds, windows: Iterable[Window], canvas: Size) -> dict[Active, list[Window]]:
        """The windows by what the conditioning has to say there; each group can be one model batch."""
        groups: dict[Active, list[Window]] = {}
        for window in windows:
            groups.setdefault(self.conditioning.active(conds, window, canvas), []).append(window)
        return groups

    def batches(self, conds: Conds, x: Tensor, windows: Sequence[Window]) -> dict[tuple[Window, ...], Active]:
        """Windows of the canvas x in batches that fit in memory, each with what the conditioning has to say there."""
        canvas, size = canvas_size(x), self.batch_size(conds, x)
        return {
            tuple(group[start : start + size]): active
            for active, group in self.groups(conds, windows, canvas).items()
            for start in range(0, len(group), size)
        }

    def fusion_weights(self, x: Tensor, step: Step, coarse: bool = False) -> WindowWeights:
        """Of the windows of the canvas x in this step; made in main memory, so once for all steps that share them."""
        key = canvas_size(x), self.params.windows_at(step, coarse), self.params.crop_fusion_at(step)
        if key not in self._weights:
            if len(self._weights) >= MOST_KEPT_WEIGHTS:  # windows that move are others in every step
                self._weights.clear()
                self.conditioning.forget_windows()
            self._weights[key] = fusion_weights(x, step, self.params, coarse)
        return self._weights[key]

    def batch_size(self, conds: Conds, x: Tensor, gradients: bool = False) -> int:
        """How many windows of x go into one model call: what free memory holds, at most what the user set."""
        windows = self.params.windows
        count = min(len(windows.plan(canvas_size(x))), windows.batch or MOST_WINDOWS)
        count = min(count, self._most.get(gradients, count))
        factor = GRADIENT_MEMORY if gradients else 1
        while count > 1 and not self._fits(conds, x, count, factor):
            count = -(-count // 2)
        return count

    def ran_out_of_memory(self, windows: int, gradients: bool = False) -> int:
        """Remember for the rest of the run that so many windows were too many. Gives what to try instead."""
        self._most[gradients] = max(windows // 2, 1)
        return self._most[gradients]

    def needs_checkpoints(self, conds: Conds, x: Tensor, windows: int) -> bool:
        """Whether a backward pass over that many windows would not fit if it kept everything."""
        return not self._fits(conds, x, windows, GRADIENT_MEMORY_WITHOUT_CHECKPOINTS)

    def _fits(self, conds: Conds, x: Tensor, windows: int, factor: float) -> bool:
        # Of a zoom stack each row has the prompts of one level only: those of level 0 stand for all.
        entries = [entry for entries in conds for entry in entries or () if not entry.get(LEVEL)]
        view = [min(window, side) for window, side in zip(self.params.windows.window, canvas_size(x), strict=True)]
        return fits(self.model, entries, (windows * len(x), *x.shape[1:-2], *view), x.device, factor)


def _refuse_what_cannot_be_windowed(guider: CFGGuider, options: dict[str, Any], noise: Tensor) -> None:
    streams = guider.inner_model.latent_shapes or [noise.shape]
    if noise.ndim not in (4, 5) or len(streams) > 1:
        what = (
            "several streams at once (such as video with audio)" if len(streams) > 1 else "no picture (such as sound)"
        )
        raise ValueError(
            f"Panorama Windows needs a latent that is one picture or one video; this model samples {what}, in latents "
            f"of shape {' and '.join(str(tuple(shape)) for shape in streams)}. Remove the node for this model."
        )
    if options.get("context_handler") is not None:
        raise ValueError(
            "Panorama Windows and Context Windows both cut the latent into windows and cannot be combined. "
            "Remove one of the two nodes."
        )
    for patch in _patches(options):
        if any(isinstance(value, Tensor) and value.ndim >= 4 for value in getattr(patch, "__dict__", {}).values()):
            raise ValueError(
                f"Panorama Windows cannot cut the picture that {type(patch).__name__} gives to the whole model: every "
                "window would see all of it. Use a ControlNet with Apply ControlNet instead, or remove the node."
            )


def _refuse_caches(options: dict[str, Any], guided: bool) -> None:
    """EasyCache would take one window for the next; LazyCache sees canvases, but in guided steps windows as well."""
    cache = getattr(options["transformer_options"].get("easycache"), "name", None)
    if cache == "EasyCache" or (cache == "LazyCache" and guided):
        other = "Use LazyCache, which sees whole canvases, or remove" if not guided else "Remove"
        raise ValueError(
            f"{'Guidance of windows' if guided else 'Panorama Windows'} cannot be combined with {cache}, which would "
            f"reuse the result of one window for the next. {other} the cache node."
        )


def _refuse_rising(levels: list[float]) -> None:
    if any(after > before for before, after in pairwise(levels)):
        raise ValueError(
            "sigmas: guidance needs noise levels that fall from step to step, and these rise (as for unsampling). "
            "Remove Multi-Scale Guidance and Sync Guidance for this sampler, or flip the sigmas."
        )


def _patches(options: dict[str, Any]) -> Iterator[Any]:
    """What nodes have patched into the model; some of it holds pictures (DiffSynth, Z-Image Fun, ...)."""
    for patches in options["transformer_options"].get("patches", {}).values():
        yield from patches

"""One sampling run of one canvas: what stays the same from its first step to its last."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import comfy.model_sampling
import comfy.utils
from comfy.samplers import CFGGuider, Sampler
from torch import Tensor

from ....core.canvas.fusion import WindowWeights
from ....core.canvas.windows import Size, Window, canvas_size
from ....core.joint_params import check_canvas
from ....core.joint_step import Look, fusion_weights
from ....core.measure.cost import views_per_step
from ....core.methods.multidiffusion import WindowParams
from ....core.methods.twindiffusion import CropFusionParams
from ....core.step import Step, step_at
from ..conds import Conds
from ..gradients.rehearsal import kept_per_step
from ..gradients.saved_tensors import Backpropagation
from ..latents import scale_map_of
from ..memory import BatchSize, fits
from ..sampler_hooks import SamplerHooks
from ..settings import LEVEL, Picture, joint_params, settings_of
from .carriers import Carriers
from .conditioning import Active, WindowConditioning
from .conflicts import refuse_caches, refuse_kept_references, refuse_rising, refuse_what_cannot_be_windowed
from .devices import Devices, shared_batch
from .elsewhere import elsewhere_of
from .finite import FirstNotFinite
from .hook_states import HookStates
from .picture import followed
from .time_left import in_words, show

# More windows in one call are no faster on a GPU, and an interrupt waits for the call.
MOST_WINDOWS = 8
# How many sets of windows are remembered, each with its weights and its part of the conditioning.
MOST_KEPT_WEIGHTS = 16
# Memory of a backward pass, in times that of a prediction, measured with and without checkpoints in the model.
GRADIENT_MEMORY = 4
GRADIENT_MEMORY_WITHOUT_CHECKPOINTS = 20
# Seconds from one text about the time left to the next. A run that is shorter says nothing.
BETWEEN_TEXTS = 1.0

log = logging.getLogger(__name__)


class Run:
    """The methods of a run, its conditioning, and what is remembered from step to step."""

    def __init__(self, guider: CFGGuider, sampler: Sampler, sigmas: Tensor, extra_args: dict[str, Any], noise: Tensor):
        """Check and prepare everything before the first step.

        Raises:
            ValueError: the canvas, the model or the graph does not allow joint sampling; the message says what to do.
        """
        options = extra_args["model_options"]
        settings, seed = settings_of(options), extra_args.get("seed") or 0
        refuse_what_cannot_be_windowed(guider, options, noise)
        canvas = canvas_size(noise)

        # What is asked for.
        self.model = guider.inner_model
        self.scale_map = scale_map_of(self.model)
        self.params = joint_params(guider.model_patcher, options)
        if self.params.windows.moving:
            self.params = replace(self.params, windows=replace(self.params.windows, seed=seed))
        self.picture_loss = settings.picture_loss and settings.picture_loss.on(noise.device)
        self.picture: Tensor | None = None
        if settings.picture is not None and settings.picture.strength > 0:
            self._follow(settings.picture, noise)
        self.differs_by_step = self.params.differs_by_step
        refuse_caches(options, self.params.guided)

        # Where it is predicted.
        self.carriers = Carriers(options, canvas)
        self.elsewhere = elsewhere_of(settings.workers, guider, self.carriers.one_by_one)
        self.devices = self._devices(options)

        # What is remembered from step to step.
        self.hook_states = HookStates(options)
        self.sampler_hooks = SamplerHooks(options)
        self.finite = FirstNotFinite()
        self._weights: dict[tuple[Size, WindowParams, CropFusionParams | None], WindowWeights] = {}
        self.backpropagation = Backpropagation()
        self.batches_of_views, self.guided_batches = BatchSize(), BatchSize()

        # The steps, and the conditioning of all of them.
        self._levels: list[float] = sigmas.tolist()
        self._kept = [0.0] * (len(self._levels) - 1)
        check_canvas(canvas, self.params)
        if self.params.needs_gradients:
            refuse_rising(self._levels)
            self._kept = kept_per_step(sampler, guider, sigmas, extra_args)
        self.conditioning = WindowConditioning(self.model, canvas, guider.conds, seed)
        if self.conditioning.cuts_references:
            refuse_kept_references(options)
        self.progress = Progress(len(self._kept), views_per_step(canvas, self.params, self.first_step))

    def _follow(self, picture: Picture, noise: Tensor) -> None:
        """Let the canvas keep the structure of a picture."""
        structure, latent = followed(picture, self.model, canvas_size(noise), len(noise), self.params.windows)
        self.params, self.picture = replace(self.params, structure=structure), latent.to(noise)

    def _devices(self, options: dict[str, Any]) -> Devices:
        """The GPUs of this machine that share the windows; none where only one may be asked."""
        if self.carriers.one_by_one:
            return Devices({})
        devices = Devices(options)
        if self.elsewhere and devices.several:
            log.warning("Ray Workers: the further GPUs of MultiGPU CFG Split are not used; give each one a worker.")
            return Devices({})
        return devices

    def step_at(self, sigma: float) -> Step:
        """The step that an evaluation at `sigma` belongs to."""
        return self._step(sigma, step_at(self._levels, sigma))

    def look(self, x: Tensor, step: Step) -> Look:
        """At the canvas x, without guidance."""
        windows = self.params.windows_at(step)
        return Look(params=windows, weights=self.fusion_weights(x, step, windows))

    def end(self) -> None:
        """Check and say what is known only now.

        Raises:
            FloatingPointError: a prediction was not finite.
        """
        if self.elsewhere:
            self.elsewhere.report()
        self.finite.require()

    @property
    def first_step(self) -> Step:
        """The step that the run begins with."""
        return self._step(self._levels[0], 0)

    def _step(self, sigma: float, index: int) -> Step:
        flow = isinstance(self.model.model_sampling, comfy.model_sampling.CONST)
        span = (self._levels[index], self._levels[index + 1])
        return Step(sigma=sigma, kept=self._kept[index], index=index, count=len(self._kept), flow=flow, span=span)

    def batches(self, conds: Conds, x: Tensor, windows: Sequence[Window]) -> dict[tuple[Window, ...], Active]:
        """Windows of the canvas x in batches that fit in memory, each with what the conditioning has to say there."""
        canvas, size = canvas_size(x), self.batch_size(conds, x)
        return {
            tuple(group[start : start + size]): active
            for active, group in self.conditioning.groups(conds, windows, canvas).items()
            for start in range(0, len(group), size)
        }

    def fusion_weights(self, x: Tensor, step: Step, windows: WindowParams) -> WindowWeights:
        """The weights of the windows of the canvas x in this step. Steps with the same windows share them."""
        key = canvas_size(x), windows, self.params.crop_fusion_at(step)
        if key not in self._weights:
            if len(self._weights) >= MOST_KEPT_WEIGHTS:  # moving windows differ from step to step
                self._weights.clear()
                self.conditioning.forget_windows()
            self._weights[key] = fusion_weights(x, step, self.params, windows)
        return self._weights[key]

    def batch_size(self, conds: Conds, x: Tensor, gradients: bool = False) -> int:
        """How many windows of x go into one model call: as many as free memory holds, at most what the user has set."""
        if self.carriers.one_by_one:
            return 1
        count, most = len(self.params.windows.plan(canvas_size(x))), self.params.windows.batch or MOST_WINDOWS
        sharers = max(len(self.devices.patchers), self.elsewhere.sharers if self.elsewhere else 1)
        rounds = 2 if self.elsewhere else 1  # who comes late, is slow or is lost costs less where there is a next one
        alone = gradients or sharers == 1
        count = min(count, most) if alone else shared_batch(count, most, sharers, rounds)
        size, times = (self.guided_batches, GRADIENT_MEMORY) if gradients else (self.batches_of_views, 1)
        return size.fitting(count, lambda windows: self._fits(conds, x, windows, times))

    def needs_checkpoints(self, conds: Conds, x: Tensor, windows: int) -> bool:
        """Whether a backward pass over that many windows needs checkpoints to fit in memory."""
        return not self._fits(conds, x, windows, GRADIENT_MEMORY_WITHOUT_CHECKPOINTS)

    def _fits(self, conds: Conds, x: Tensor, windows: int, times: float) -> bool:
        # Each row of a zoom stack has the prompts of one level; those of level 0 stand for all.
        entries = [entry for entries in conds for entry in entries or () if not entry.get(LEVEL)]
        view = Size(*map(min, self.params.windows.window, canvas_size(x)))
        views, sizes = (windows * len(x), *x.shape[1:-2], *view), self.conditioning.sizes(entries, view)
        places = [(patcher.model, patcher.load_device) for patcher in self.devices.patchers] or [(self.model, x.device)]
        return all(fits(model, sizes, views, device, times) for model, device in places)


class Progress:
    """The bar of the node, and the time left: a step of a large canvas takes minutes, so they move with each batch.

    A step is taken to need as many views as the one before: some samplers ask twice, and guidance ends. The first one
    is taken to need `views`.
    """

    def __init__(self, steps: int, views: int):
        self._bar, self._steps = comfy.utils.ProgressBar(steps), steps
        self._done, self._expected, self._seen = 0, views, 0
        self._begun = self._said = time.monotonic()
        self._moving = Lock()  # several devices may be done at once

    def counting(self, callback: Callable[..., Any] | None) -> Callable[..., Any]:
        """The sampler's callback, which is called after each step, and which moves the bar to the end of that step."""

        def after_step(step: int, *rest: Any) -> Any:
            self._done, self._expected, self._seen = step + 1, max(self._seen, 1), 0
            self._say()
            return callback(step, *rest) if callback else None

        return after_step

    def add(self, views: int) -> None:
        """So many views more are denoised."""
        with self._moving:
            self._seen += views
            if self._seen < self._expected:  # the end of a step is said by the sampler, with its preview
                self._bar.update_absolute(self._done + self._seen / self._expected)
                self._say()

    def _say(self) -> None:
        now, is_last = time.monotonic(), self._done == self._steps
        has_spoken = self._said > self._begun
        if now - self._said >= BETWEEN_TEXTS or (is_last and has_spoken):
            show(in_words(self._done + self._seen / self._expected, self._steps, now - self._begun))
            self._said = now

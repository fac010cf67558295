"""What the host predicts for windows, each with its own part of the conditioning."""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ....core.canvas.windows import Size, Window, canvas_size
from ....core.methods.multidiffusion import predict_jointly
from ....core.workers.pool import at_work
from ..conds import Conds
from ..gradients.inference_tensors import thawed
from .calls import Call, CanvasCall, ViewsCall
from .conditioning import Active, hook_keyframes_at, scheduled
from .devices import on_one_device, prepare_hooks
from .elsewhere import CallElsewhere, synchronise
from .run import Run


def predict(executor, model, conds: Conds, x: Tensor, timestep: Tensor, model_options, call: Call) -> list[Tensor]:
    """What the host's CALC_COND_BATCH, `executor`, says of x: one prediction like x for each list of conds.

    `call` says what x is: a canvas, which is fused of its windows, or views.
    """
    with ExitStack() as stack:
        if call.step_sigma is not None:
            conds = [None if entries is None else scheduled(entries, call.step_sigma) for entries in conds]
            patchers = call.run.devices.patchers or [model.current_patcher]
            stack.enter_context(hook_keyframes_at(patchers, call.step_sigma))
        if call.run.carriers.one_by_one or call.run.elsewhere:
            # What patches carry is on the main device, and lies in objects that all share.
            model_options = on_one_device(model_options)
        elif call.run.devices.several:
            prepare_hooks(model, conds, timestep, model_options)
        elsewhere = call.run.elsewhere.call(executor, model, conds, model_options) if call.run.elsewhere else None
        host = _Host(executor, model, conds, timestep, model_options, call.run, elsewhere)
        return host.of_views(x, call) if isinstance(call, ViewsCall) else host.of_canvas(x, call)


@dataclass(frozen=True)
class _Host:
    """One call of CALC_COND_BATCH, to be answered window by window."""

    executor: Any
    model: Any
    conds: Conds
    timestep: Tensor
    model_options: dict[str, Any]
    run: Run
    elsewhere: CallElsewhere | None

    def of_canvas(self, x: Tensor, call: CanvasCall) -> list[Tensor]:
        """Predictions of a canvas, fused of those of its windows."""
        canvas, look = canvas_size(x), call.look
        if canvas != call.canvas:  # a hook of another pack asks about a part of it
            look = self.run.look(x, self.run.step_at(float(self.timestep[0])))
        batches = self.run.batches(self.conds, x, look.params.plan(canvas))

        def predict(views: Tensor, windows: Sequence[Window]) -> list[Tensor]:
            return self._of_alike(views, windows, canvas, batches[tuple(windows)])

        each = self.run.devices.each if self.run.devices.several else map
        if self.elsewhere:
            each = self.elsewhere.run.workers.pool.each
        return predict_jointly(x, batches, predict, look.weights, look.shifts, look.shift_kept, each)

    def of_views(self, views: Tensor, call: ViewsCall) -> list[Tensor]:
        """Predictions (N*B, ...) for the views of N windows.

        A prompt whose mask is empty in a window is not run there: windows are grouped by what the conditioning says.
        """
        groups = self.run.conditioning.groups(self.conds, call.windows, call.canvas)
        if len(groups) == 1:
            (active,) = groups
            return self._of_alike(views, call.windows, call.canvas, active)
        view_of = dict(zip(call.windows, views.chunk(len(call.windows)), strict=True))
        of_window: dict[Window, list[Tensor]] = {window: [] for window in call.windows}  # one for each list of conds
        for active, group in groups.items():
            together = torch.cat([view_of[window] for window in group])
            for predictions in self._of_alike(together, group, call.canvas, active):
                for window, prediction in zip(group, predictions.chunk(len(group)), strict=True):
                    of_window[window].append(prediction)
        return [torch.cat([of_window[window][number] for window in call.windows]) for number in range(len(self.conds))]

    def _of_alike(self, views: Tensor, windows: Sequence[Window], canvas: Size, active: Active) -> list[Tensor]:
        """The same for windows of equal conditioning: in one call, or in several if memory runs out.

        Not of views with a gradient: what autograd keeps of one call would still be there for the next.
        """
        batch = len(views) // len(windows)

        def in_batches_of(size: int) -> list[Tensor]:
            starts = range(0, len(windows), size)
            parts = [
                self._call(views[i * batch : (i + size) * batch], windows[i : i + size], canvas, active, batch)
                for i in starts
            ]
            return parts[0] if len(parts) == 1 else [torch.cat(outputs) for outputs in zip(*parts, strict=True)]

        if views.requires_grad:
            return in_batches_of(len(windows))
        return self.run.batches_of_views.attempt(in_batches_of, len(windows))

    def _call(self, views: Tensor, windows: Sequence[Window], canvas: Size, active: Active, batch: int) -> list[Tensor]:
        comfy.model_management.throw_exception_if_processing_interrupted()
        cut = self.run.conditioning.cut(self.conds, active, windows, canvas, batch)
        if not torch.is_inference_mode_enabled():
            cut = thawed(cut)  # this is a guided pass, and autograd may save the conditioning
        carriers, timestep = self.run.carriers, self.timestep[:batch].repeat(len(windows))
        if self.elsewhere and at_work():
            predictions = self.elsewhere.ask(cut, views, timestep)
            self.run.progress.add(len(windows))
            return predictions
        model, options = self.model, self.model_options
        if self.run.devices.several:
            model, options = self.run.devices.here(model, options)
        with carriers.cut(windows, canvas, views.device) if carriers.one_by_one else nullcontext():
            predictions = self.executor(model, cut, views, timestep, options)
        if self.elsewhere:
            synchronise(predictions)
            self.elsewhere.run.count_views(len(views))
        self.run.progress.add(len(windows))
        return predictions

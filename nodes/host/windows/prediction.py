"""What the host predicts for windows, each with its own part of the conditioning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ....core.canvas.windows import Size, Window
from ..gradients.inference_tensors import thawed
from .run import Active, Conds, Run


@dataclass(frozen=True, kw_only=True)
class HostPrediction:
    """One call of the host's CALC_COND_BATCH, to be answered window by window.

    Attributes:
        executor: goes on to the host.
        model, conds, timestep, model_options: the arguments of the call.
        run: the run that the call belongs to.
    """

    executor: Any
    model: Any
    conds: Conds
    timestep: Tensor
    model_options: dict[str, Any]
    run: Run

    def of_views(self, views: Tensor, windows: Sequence[Window], canvas: Size) -> list[Tensor]:
        """Predictions (N*B, ...) for the views of N windows, one for each list of conds.

        A prompt whose mask is empty in a window is not run there: windows are grouped by what the conditioning says.
        """
        groups = self.run.groups(self.conds, windows, canvas)
        if len(groups) == 1:
            (active,) = groups
            return self.of_alike(views, windows, canvas, active)
        by_window = dict(zip(windows, views.chunk(len(windows)), strict=True))
        found: dict[Window, tuple[Tensor, ...]] = {}
        for active, group in groups.items():
            outputs = self.of_alike(torch.cat([by_window[window] for window in group]), group, canvas, active)
            found |= zip(group, zip(*(output.chunk(len(group)) for output in outputs), strict=True), strict=True)
        return [torch.cat(parts) for parts in zip(*(found[window] for window in windows), strict=True)]

    def of_alike(self, views: Tensor, windows: Sequence[Window], canvas: Size, active: Active) -> list[Tensor]:
        """The same for windows of equal conditioning, in one call; if memory runs out, one for each half of them.

        Not of views with a gradient: what autograd keeps of one half would still be there for the other.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        batch = len(views) // len(windows)
        cut = self.run.conditioning.cut(self.conds, active, windows, canvas, batch)
        if not torch.is_inference_mode_enabled():
            cut = thawed(cut)  # this is a guided pass, and autograd may save the conditioning
        try:
            return self.executor(self.model, cut, views, self.timestep[:batch].repeat(len(windows)), self.model_options)
        except Exception as error:
            if len(windows) == 1 or views.requires_grad or not comfy.model_management.is_oom(error):
                raise
        # Out here, where no traceback keeps the memory of the failed attempt.
        comfy.model_management.soft_empty_cache()
        half = self.run.ran_out_of_memory(len(windows))
        first = self.of_alike(views[: half * batch], windows[:half], canvas, active)
        second = self.of_alike(views[half * batch :], windows[half:], canvas, active)
        return [torch.cat(parts) for parts in zip(first, second, strict=True)]

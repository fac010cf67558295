"""Hooks after classifier-free guidance: those of nodes, and those that a sampler adds for itself.

CFG++ samplers step along the unconditional prediction and fetch it by such a hook. Whoever changes the prediction after
CFG must change what that hook sees alike: CFG is linear, so the same change is right for both.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

AFTER_CFG = "sampler_post_cfg_function"
Hook = Callable[[dict[str, Any]], Tensor]


class SamplerHooks:
    """Tells the hooks of the sampler from those that were there before it began."""

    def __init__(self, options: dict[str, Any]):
        """`options` are the model options that the run begins with."""
        self._of_nodes = len(options.get(AFTER_CFG, []))

    def of_sampler(self, options: dict[str, Any]) -> list[Hook]:
        """Those that the sampler has added to `options`."""
        return options.get(AFTER_CFG, [])[self._of_nodes :]

    def changed(
        self, options: dict[str, Any], change_uncond: Callable[[Tensor], Tensor], *between: Hook
    ) -> dict[str, Any]:
        """The `options` of a model call whose sampler hooks see the unconditional prediction changed.

        The hooks `between` come after those of nodes and before those of the sampler.
        """

        def with_changed_uncond(hook: Hook, arguments: dict[str, Any]) -> Tensor:
            return hook({**arguments, "uncond_denoised": change_uncond(arguments["uncond_denoised"])})

        of_nodes = options.get(AFTER_CFG, [])[: self._of_nodes]
        of_sampler = [partial(with_changed_uncond, hook) for hook in self.of_sampler(options)]
        return {**options, AFTER_CFG: [*of_nodes, *between, *of_sampler]}

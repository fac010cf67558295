"""Batches of windows on other machines: which calls of a run can be sent to workers, and how they are."""

import logging
import uuid
from dataclasses import dataclass
from threading import Lock
from typing import Any

import comfy.conds
import comfy.model_management
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.samplers import CFGGuider
from torch import Tensor

from ....core.workers.parcel import CannotBeSent, Stowage, Unpacker, light, require_sendable
from ....core.workers.pool import Lost, at_work
from ..conds import Conds, Entry
from ..gradients.vae import ADDITIONAL_MODELS_KEY
from ..workers.crew import Workers
from ..workers.told import options_of, told

ALLOWED = (comfy.conds.__name__,)
HALVES = (torch.float16, torch.bfloat16)
# Of a prompt, what the host's `calc_cond_batch` looks at.
NEEDED = (
    *("model_conds", "uuid", "area", "strength", "mask", "mask_strength"),
    *("timestep_start", "timestep_end", "default", "hooks", "control", "gligen"),
)

HOOK = "a prompt has a hook, such as a LoRA of its own"
HERE = "Ray Workers: windows are predicted here, not by the workers: %s."

log = logging.getLogger(__name__)


def elsewhere_of(workers: Workers | None, guider: CFGGuider, has_carriers: bool) -> "Elsewhere | None":
    """The workers of a run; None if there are none, or if they cannot do what is wanted: it is said.

    `has_carriers` is whether patches of the model carry something that is cut to windows.
    """
    if workers is None:
        return None
    entries = [entry for entries in guider.conds.values() for entry in entries]
    if has_carriers:
        why_not = "a patch of the model carries a picture or a mask"
    elif any(entry.get("hooks") is not None for entry in entries):  # they change the weights of the whole model
        why_not = HOOK
    else:
        why_not = _changed_since(workers.model, guider.model_patcher)
    if why_not is not None:
        log.warning(HERE, why_not)
        return None
    return Elsewhere(workers, guider.model_patcher)


class Elsewhere:
    """The workers of one run."""

    def __init__(self, workers: Workers, patcher: ModelPatcher):
        """Have them get ready to predict what this model does."""
        self.workers, self._said = workers, set[str]()
        self._name, self._stowage = uuid.uuid4().hex, Stowage(ALLOWED)
        self._seen = {"views": 0, "elsewhere": 0, "sent": 0, "received": 0}
        self._counting = Lock()
        self._half = patcher.model.get_dtype_inference() in HALVES
        self._known = options_of(workers.model)
        workers.prepare()

    @property
    def sharers(self) -> int:
        """How many share the windows: this process too."""
        return 1 + self.workers.count

    def call(self, executor: Any, model: BaseModel, conds: Conds, options: dict[str, Any]) -> "CallElsewhere | None":
        """A call of the host's CALC_COND_BATCH, `executor`, as workers can answer it; None if they cannot: it is said.

        `conds` are those of the canvas.
        """
        if inner := executor.wrappers[executor.idx + 1 :]:
            self._say(f"{_name(inner[0])} changes how the model is asked")
            return None
        try:
            for entry in (entry for entries in conds for entry in entries or ()):
                if entry.get("control") is not None:
                    raise CannotBeSent("a prompt has a ControlNet")
                require_sendable(_needed(entry), ALLOWED)
            fields = {"options": told(options, self._known), "latent_shapes": getattr(model, "latent_shapes", None)}
            require_sendable(fields, ALLOWED)
        except CannotBeSent as what:
            self._say(str(what))
            return None
        return CallElsewhere(self, {**fields, "half": self._half})

    def ask(self, call: "CallElsewhere", conds: Conds, views: Tensor, timestep: Tensor) -> list[Tensor]:
        """The worker of this thread: predictions like `views`.

        Raises:
            Lost: it has gone.
            torch.OutOfMemoryError: the views are too many for it.
        """
        worker = at_work()
        lasting = {**call.fields, "conds": [None if es is None else [*map(_needed, es)] for es in conds]}
        sent = light(views) if self._half else views
        try:
            with worker.lock:  # else a parcel could overtake another that has tensors which it only names
                parcel = self._stowage.pack(worker, lasting, (sent, timestep))
                asked = worker.ask("predict", self.workers.key, self._name, parcel)
            answer = worker.answer(asked)
        except Lost:
            self._stowage.forget(worker)
            raise
        if answer is None:
            raise torch.OutOfMemoryError(f"{worker.name} has too little memory for {len(views)} views")
        self.count_views(len(views), elsewhere=len(views), sent=len(parcel), received=len(answer))
        # Where there are no prompts, the host says zero; that need not be sent.
        return [torch.zeros_like(views) if one is None else one.to(views) for one in Unpacker().unpack(answer)[1]]

    def count_views(self, views: int, **seen: int) -> None:
        """So many are predicted, and of them so many elsewhere, for so many bytes."""
        with self._counting:
            for name, number in {"views": views, **seen}.items():
                self._seen[name] += number

    def report(self) -> None:
        """Say in the log who has done what."""
        log.info(
            "Ray Workers: %(elsewhere)d of %(views)d views by workers, %(sent)d bytes sent, %(received)d received.",
            self._seen,
        )

    def _say(self, why: str) -> None:
        if why not in self._said:
            self._said.add(why)
            log.warning(HERE, why)


@dataclass(frozen=True)
class CallElsewhere:
    """What all batches of a call have in common."""

    run: Elsewhere
    fields: dict[str, Any]

    def ask(self, conds: Conds, views: Tensor, timestep: Tensor) -> list[Tensor]:
        """See `Elsewhere.ask`."""
        return self.run.ask(self, conds, views, timestep)


def _needed(entry: Entry) -> Entry:
    return {key: entry[key] for key in NEEDED if key in entry}


def _changed_since(before: ModelPatcher, now: ModelPatcher) -> str | None:
    """What nodes behind Ray Workers have done to the model that workers do not know of."""
    if now.model is not before.model:
        what = "replace the model"
    elif now.patches_uuid != before.patches_uuid:
        what = "patch its weights"
    elif not _same(now.object_patches, before.object_patches):
        what = "replace parts of the model"
    elif (now.callbacks, now.injections) != (before.callbacks, before.injections):
        what = "change how it is run"
    elif _loaded_along(now) != _loaded_along(before):
        what = "add models to it"
    else:
        return None
    return f"nodes between Ray Workers and the sampler {what}; put Ray Workers behind them"


def _loaded_along(patcher: ModelPatcher) -> set[str]:
    """Models beside it, without the VAE of Structure Guidance, Joint Upscale and Sync Guidance: it acts on canvases."""
    return patcher.additional_models.keys() - {ADDITIONAL_MODELS_KEY}


def _same(some: dict[str, Any], others: dict[str, Any]) -> bool:
    return some.keys() == others.keys() and all(some[key] is others[key] for key in some)


def _name(wrapper: Any) -> str:
    kind = wrapper if hasattr(wrapper, "__qualname__") else type(wrapper)
    return f"{kind.__qualname__} ({kind.__module__})"


def synchronise(predictions: list[Tensor]) -> None:
    """Wait until they are there: else this process, which need not wait for its GPU, would take all the batches."""
    if predictions and predictions[0].device.type != "cpu":
        comfy.model_management.synchronize()

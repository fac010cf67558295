"""What a worker does: it builds the model by running the nodes that made it, and predicts batches of windows."""

import os
import platform
from typing import Any

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from execution import CacheType, PromptExecutor
from server import PromptServer

import nodes

from ....core.workers.parcel import Stowage, Unpacker, light
from .likeness import likeness
from .subgraph import TAKEN, Link
from .told import options_of, own

REPLY = "reply"


class Served:
    """Lives as long as the process."""

    def __init__(self, kept: Any = None):
        """Start without a model; `kept` is kept as long as this."""
        self._kept = kept
        no_limit = {"lru": 0, "ram": 0, "ram_inactive": 0}
        self._executor = PromptExecutor(PromptServer.instance, cache_type=CacheType.CLASSIC, cache_args=no_limit)
        self._taken: list[ModelPatcher] = []
        self._run: _Run | None = None
        self._key: str | None = None
        nodes.NODE_CLASS_MAPPINGS[TAKEN] = _taking(self._taken)

    def build(self, key: str, prompt: dict[str, Any], link: Link) -> list[Any]:
        """Run the nodes of the prompt that the link needs, keep the model that it gives, and say what it is like.

        Nodes that are the same as before are not run again. The model is known by its `key`.

        Raises:
            RuntimeError: a node failed; says which, and why.
        """
        self._end_run()
        self._taken.clear()
        self._key = key
        prompt = {**prompt, TAKEN: {"class_type": TAKEN, "inputs": {"model": link}}}
        self._executor.execute(prompt, f"worker-{os.getpid()}", {}, [TAKEN])
        if not self._taken:
            failed = [data for event, data in self._executor.status_messages if event == "execution_error"]
            said = [f"{data['node_type']}: {data['exception_message'].strip()}" for data in failed]
            raise RuntimeError(f"the model could not be made on {platform.node()}: {'; '.join(said) or 'interrupted'}")
        return [*likeness(self._taken[0])]

    def predict(self, key: str, run: str, parcel: bytes) -> bytes | None:
        """What the host's `calc_cond_batch` says of the views in the parcel; None where memory has run out."""
        if key != self._key or not self._taken:
            raise RuntimeError("this worker has another model by now")
        if self._run is None or self._run.name != run:
            self._end_run()
            self._run = _Run(run, self._taken[0])
        try:
            return self._run.predict(parcel)
        except Exception as error:
            if not comfy.model_management.is_oom(error):
                raise
        comfy.model_management.soft_empty_cache()
        return None

    def process(self) -> int:
        """The number of the process."""
        return os.getpid()

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.end()
        self._run = None


class _Run:
    """One sampling run, as a worker sees it."""

    def __init__(self, name: str, patcher: ModelPatcher):
        self.name, self._patcher = name, patcher
        self._options = options_of(patcher)
        self._unpacker, self._is_loaded = Unpacker(patcher.load_device), False

    @torch.inference_mode()
    def predict(self, parcel: bytes) -> bytes:
        lasting, (views, timestep) = self._unpacker.unpack(parcel)
        conds, told, latent_shapes = lasting["conds"], lasting["options"], lasting["latent_shapes"]
        views = views.float()
        self._load(views)
        model = self._patcher.model
        model.latent_shapes = latent_shapes
        options = own(told, self._options)
        predictions = comfy.samplers._calc_cond_batch(model, conds, views, timestep, options)
        answer = [
            None if entries is None else light(one) if lasting["half"] else one
            for entries, one in zip(conds, predictions, strict=True)
        ]
        return Stowage().pack(REPLY, None, answer)

    def _load(self, views: torch.Tensor) -> None:
        if self._is_loaded:
            return
        device = self._patcher.load_device
        comfy.sampler_helpers.prepare_model_patcher(self._patcher, {}, options := options_of(self._patcher))
        comfy.samplers.cast_to_load_options(options, device=device, dtype=self._patcher.model_dtype())
        needed = self._patcher.model.memory_required([2 * len(views), *views.shape[1:]])
        models = [self._patcher, *self._patcher.get_nested_additional_models()]
        comfy.model_management.load_models_gpu(models, memory_required=needed)
        self._patcher.pre_run()
        self._is_loaded = True

    def end(self) -> None:
        if self._is_loaded:
            self._patcher.cleanup()


def _taking(taken: list[ModelPatcher]) -> type:
    class Taken:
        """An output node: so the host runs what it needs."""

        INPUT_TYPES = classmethod(lambda _: {"required": {"model": ("MODEL",)}})
        RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "joint diffusion", True
        # Even if it has run with the same model before.
        IS_CHANGED = classmethod(lambda _, **__: float("nan"))

        def take(self, model: ModelPatcher) -> tuple[()]:
            taken.append(model)
            return ()

    return Taken

"""A model that samples jointly, whatever the order of the nodes that say how."""

import logging
from dataclasses import replace
from typing import Any

from comfy.model_patcher import ModelPatcher

from ..settings import KEY, settings_of
from .wrappers import WRAPPERS

log = logging.getLogger(__name__)
# The nodes that set what a model can have only one of.
NODES = {
    "windows": "Panorama Windows",
    "multiscale": "Multi-Scale Guidance or Multi-Scale Sampler",
    "sync": "Sync Guidance",
    "picture": "Structure Guidance or Joint Upscale",
    "crop_fusion": "Twin Crop Fusion",
    "workers": "Ray Workers",
}


def with_settings(model: ModelPatcher, **changes: Any) -> ModelPatcher:
    """A clone of the model that samples jointly, with these fields of its `JointSettings` set; the others stay.

    A field that an earlier node has set to something else is replaced, and the log says so.
    """
    clone, before = model.clone(), settings_of(model.model_options)
    for field, nodes in NODES.items():
        earlier = getattr(before, field)
        if earlier is not None and field in changes and changes[field] != earlier:
            log.warning("%s: this model comes through a second node of this kind; the last one holds.", nodes)
    clone.model_options["transformer_options"][KEY] = replace(before, **changes)
    for wrapper_type, wrapper in WRAPPERS.items():
        clone.remove_wrappers_with_key(wrapper_type, KEY)  # the same key twice would run twice
        clone.add_wrapper_with_key(wrapper_type, KEY, wrapper)
    return clone

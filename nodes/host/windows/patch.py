"""A model that samples jointly, whatever the order of the nodes that say how."""

from dataclasses import replace
from typing import Any

from comfy.model_patcher import ModelPatcher

from ..settings import KEY, settings_of
from .wrappers import WRAPPERS


def with_settings(model: ModelPatcher, **changes: Any) -> ModelPatcher:
    """A clone of the model that samples jointly, with these fields of its `JointSettings` set; the others stay."""
    clone = model.clone()
    clone.model_options["transformer_options"][KEY] = replace(settings_of(model.model_options), **changes)
    for wrapper_type, wrapper in WRAPPERS.items():
        clone.remove_wrappers_with_key(wrapper_type, KEY)  # the same key twice would run twice
        clone.add_wrapper_with_key(wrapper_type, KEY, wrapper)
    return clone

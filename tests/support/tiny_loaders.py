"""Loaders for the real server that give tiny models where a workflow asks for files that are not here.

The server loads this file as a pack of nodes: link it into its custom_nodes.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

from host import load_pack

load_pack()

import tiny_models  # noqa: E402
import torch  # noqa: E402

FAMILIES = ("flux", "sd15", "sd15_half", "sd3", "qwen_image", "z_image", "wan")
WITH_FRAMES = ("qwen_image", "wan")  # latents of 5 dimensions, and an autoencoder of films


def network(family):
    """The tiny model of a family."""
    options = {"dtype": torch.float16} if family.endswith("_half") else {}
    return getattr(tiny_models, family.removesuffix("_half"))(**options)


def autoencoder(family):
    """The autoencoder that belongs to it."""
    return tiny_models.video_vae() if family in WITH_FRAMES else tiny_models.vae(16)


class Loader:
    """A node whose only input is the family."""

    FUNCTION, CATEGORY = "load", "tiny models"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"family": ([*FAMILIES],)}}


class TinyModel(Loader):
    """In the place of Load Diffusion Model."""

    RETURN_TYPES = ("MODEL",)

    def load(self, family):
        return (network(family),)


class TinyText(Loader):
    """In the place of Load CLIP and DualCLIPLoader."""

    RETURN_TYPES = ("CLIP",)

    def load(self, family):
        return (tiny_models.text_encoder(),)


class TinyVAE(Loader):
    """In the place of Load VAE."""

    RETURN_TYPES = ("VAE",)

    def load(self, family):
        return (autoencoder(family),)


class TinyCheckpoint(Loader):
    """In the place of Load Checkpoint."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    def load(self, family):
        return network(family), tiny_models.text_encoder(), autoencoder(family)


class TinyPatch:
    """A node that patches the model with a function of its own."""

    FUNCTION, CATEGORY, RETURN_TYPES = "patch", "tiny models", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "by": ("FLOAT", {"default": 1.5})}}

    def patch(self, model, by):
        return (tiny_models.louder(model, by),)


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (TinyModel, TinyText, TinyVAE, TinyCheckpoint, TinyPatch)}

"""The bundled model in the host, as the nodes of a graph have it, and what a run of it costs.

Import only after `host.start_host`.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from joint_diffusion.nodes.load_demo_model import LoadDemoModel
from joint_diffusion.nodes.panorama_decode import PanoramaDecode
from torch import Tensor

from ..clock import now
from ..speed.measuring import DEVICE, peak_memory, peak_resident

WINDOW = 16  # latent cells, the side of the model's window
PIXELS = 8 * WINDOW
CHANNELS = 8
SETTINGS = {"cfg": 2.0, "sampler_name": "euler", "scheduler": "karras"}


@dataclass
class Cost:
    """What one picture took."""

    seconds: float = 0.0  # of this process, on a CPU: waiting for others does not count
    rows: list[int] = field(default_factory=list)  # of every call of the network: a view has two with guidance

    @property
    def views(self) -> float:
        """Views denoised."""
        return sum(self.rows) / 2


class DemoPainter:
    """MODEL, CLIP and VAE of Load Demo Model, and the host's KSampler."""

    def __init__(self, steps: int):
        comfy.utils.set_progress_bar_enabled(False)
        self.steps = steps
        self.host_nodes = import_module("nodes")  # the host's, not the pack's
        self.model, self._clip, self.vae = LoadDemoModel.execute().args

    def prompts(self, text: str) -> tuple[Any, Any]:
        """Positive and negative."""
        one, none = (self.host_nodes.CLIPTextEncode().encode(self._clip, words)[0] for words in (text, ""))
        return one, none

    def sampled(
        self, model: ModelPatcher, prompt: str, seed: int, latent: Tensor, denoise: float = 1.0, steps: int = 0
    ) -> Tensor:
        """What KSampler makes of a latent (1, 8, h, w)."""
        positive, negative = self.prompts(prompt)
        given = {"positive": positive, "negative": negative, "latent_image": {"samples": latent}, "denoise": denoise}
        ksampler = self.host_nodes.KSampler()
        return ksampler.sample(model, seed, steps or self.steps, **SETTINGS, **given)[0]["samples"]

    def decoded(self, latent: Tensor, wrap: bool = False) -> Tensor:
        """(1, 3, H, W), by the pack's node for everyone: it is the sampling that is compared."""
        (image,) = PanoramaDecode.execute({"samples": latent}, self.vae, wrap_x=wrap).args
        return image.movedim(-1, 1)

    def bicubic(self, image: Tensor, by: float) -> Tensor:
        """(1, H, W, 3) made larger by the host."""
        return self.host_nodes.ImageScaleBy().upscale(image, "bicubic", by)[0].clamp(0, 1)

    @contextmanager
    def costs(self) -> Iterator[Cost]:
        """Measure what is done within; what others print goes to stderr, as the tables are printed."""
        cost = Cost()
        hook = self.model.model.diffusion_model.register_forward_pre_hook(partial(_count, cost.rows))
        start = now()
        try:
            with redirect_stdout(sys.stderr):
                yield cost
        finally:
            cost.seconds = now() - start
            hook.remove()

    def peak(self, work: Callable[[], object]) -> float:
        """MiB that the work needs at its peak, in a copy of this process: memory once used is not all given back.

        It loads first what is loaded once. On a GPU, where processes cannot be copied, in this one.
        """

        def warm() -> None:
            latent = torch.zeros(1, CHANNELS, WINDOW, WINDOW)
            self.vae.encode(self.vae.decode(self.sampled(self.model, "", 0, latent, steps=1)))

        if DEVICE == "cuda":
            warm()
            return peak_memory(work)
        return _in_a_copy(lambda: (warm(), peak_resident(work))[1])


def _count(rows: list[int], _network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    rows.append(len(inputs[0]))


def _in_a_copy(measure: Callable[[], float]) -> float:
    """What a child of this process has measured.

    Raises:
        RuntimeError: it failed; why is on stderr.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            torch.set_num_threads(1)  # others were not copied
            with redirect_stdout(sys.stderr):
                os.write(writing, repr(measure()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="ascii") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    if not said:
        raise RuntimeError("memory could not be measured; the child process has said why.")
    return float(said)

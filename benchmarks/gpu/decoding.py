"""Decoding: the whole canvas at once, and part by part.

Import only after `host.start_host`.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from comfy.sd import VAE
from joint_diffusion.core.canvas.decode import DecodeParams
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.nodes.host.vae import decode_canvas
from torch import Tensor

from ..speed.measuring import peak_memory
from . import device
from .bench import Bench, in_pixels
from .models import vae
from .parts import Case, Part, Rows

WINDOWS = DecodeParams(window=Size(128, 128))  # 1024 pixels, with the node's own context and blend
TINY_WINDOWS = DecodeParams(window=Size(8, 8), context=2, blend=2)


def _cases(bench: Bench) -> Iterator[Case]:
    windows = TINY_WINDOWS if bench.tiny else WINDOWS
    ways: dict[str, Callable[[VAE, Tensor], Tensor]] = {
        "Panorama Decode": lambda coder, latent: decode_canvas(coder, latent, params=windows),
        "VAE Decode": lambda coder, latent: coder.decode(latent),
    }
    coder: list[VAE] = []
    for size in bench.sizes:
        for name, way in ways.items():
            label = f"{in_pixels(size)}, {name}"
            yield Case(label, partial(_decoded, bench, label, size, way, coder))


def _decoded(
    bench: Bench, label: str, size: tuple[int, int], way: Callable[[VAE, Tensor], Tensor], coder: list[VAE]
) -> Rows:
    """One row; the VAE is made by the first case, and kept in `coder`."""
    if not coder:
        coder.append(vae(bench.tiny))
    latent = torch.randn(1, 4, *(side // 8 for side in size))
    seconds = list[float]()

    def decode() -> None:
        start = time.perf_counter()
        with torch.inference_mode():
            way(coder[0], latent)
        device.synchronize()
        seconds.append(time.perf_counter() - start)

    decode()  # weights are loaded and kernels chosen
    if not device.CUDA:
        decode()
        return {label: {"seconds": seconds[-1]}}
    peak = peak_memory(decode)
    return {label: {"seconds": seconds[-1], "peak memory, MiB": peak}}


PART = Part(
    "An autoencoder in the shape of Stable Diffusion's with random weights: what Panorama Decode does in windows of "
    "1024 pixels, and ComfyUI's VAE Decode, which decodes all at once or, where memory does not hold it, in tiles.",
    _cases,
)

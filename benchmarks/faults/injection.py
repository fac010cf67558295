"""Faults at a chosen moment: at the n-th call of any function that computes something of one kind.

Import only after `host.start_host`.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import comfy.model_management
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.support.host import HOST, ROOT

# Which files compute what. Nothing else is interrupted: what tidies up is not what a fault can come from.
SITES = {
    "model call": (f"{HOST}/comfy/ldm/", f"{HOST}/comfy/cldm/", f"{HOST}/comfy/model_base.py", f"{ROOT}/demo/model.py"),
    "fusion": (f"{ROOT}/core/methods/", f"{ROOT}/core/canvas/", f"{ROOT}/core/joint_step.py", f"{ROOT}/core/zoom/"),
    "decode": (
        f"{HOST}/comfy/ldm/models/",
        f"{HOST}/comfy/ldm/modules/diffusionmodules/model.py",
        f"{ROOT}/demo/autoencoder.py",
        *(f"{ROOT}/core/canvas/{name}.py" for name in ("decode", "encode", "bands")),
    ),
    "write": tuple(
        f"{ROOT}/nodes/{name}.py"
        for name in ("png_file", "tiled_files", "video_file", "streamed_picture", "written_whole")
    ),
}
# These hand bytes to a thread, also in a `finally`; and a class is no work.
SPARED = {"give", "take", "__init__"}


class Fault(Exception):
    """An error that nobody expects, so nobody may catch it."""


@contextmanager
def calls_of(site: str, moment: int = 0, fire: Callable[[FrameType], None] | None = None) -> Iterator[list[int]]:
    """Counts the calls of a site; at the given one `fire` gets the frame that runs, and what it raises is raised there.

    Of what writes, calls of the compressor, of the file and of the encoder count, too.
    """
    others = tuple(part for name, parts in SITES.items() if name != site for part in parts)
    here: dict[CodeType, bool] = {}
    count, events = [0], ("call", "c_call") if site == "write" else ("call",)

    def belongs(code: CodeType) -> bool:
        # The longest beginning of its path decides: autoencoders are among the models of the host.
        mine, other = (
            max((len(part) for part in parts if code.co_filename.startswith(part)), default=0)
            for parts in (SITES[site], others)
        )
        return mine > other and code.co_name not in SPARED

    def heard(frame: FrameType, event: str, _argument: Any) -> None:
        if event not in events:
            return
        code = frame.f_code
        if code not in here:
            here[code] = belongs(code)
        if here[code]:
            count[0] += 1
            if count[0] == moment and fire is not None:
                fire(frame)

    before = sys.getprofile()
    sys.setprofile(heard)
    try:
        yield count
    finally:
        sys.setprofile(before)


@contextmanager
def no_memory_from(moment: int) -> Iterator[None]:
    """From the n-th layer of any network on, none of them gets memory any more."""
    count = [0]

    def before_a_layer(*_) -> None:
        count[0] += 1
        if count[0] >= moment:
            raise torch.OutOfMemoryError("no memory, and none to come")

    hook = register_module_forward_pre_hook(before_a_layer)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def layers() -> Iterator[list[int]]:
    """Counts the layers of all networks that run."""
    count = [0]

    def one(*_) -> None:
        count[0] += 1

    hook = register_module_forward_pre_hook(one)
    try:
        yield count
    finally:
        hook.remove()


def interrupt(_frame: FrameType) -> None:
    """The user clicks on Cancel."""
    comfy.model_management.interrupt_current_processing()


def fail(_frame: FrameType) -> None:
    raise Fault("an error that nobody expects")


def run_out_of_memory(_frame: FrameType) -> None:
    raise torch.OutOfMemoryError("no memory just now")

"""Painted pictures, kept: a run that was stopped goes on where it was, and figures share what they have in common.

A picture is a PNG file named after everything that it depends on: parameters, precision, weights and the code that
paints it; who changes a line of that code has every picture painted again. What it cost is written in the file, which
appears whole or not at all, so several runs may fill one folder.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from ..clock import now

KEPT = Path(__file__).parents[1] / "out"


class Kept(NamedTuple):
    """A picture and what painting it has cost."""

    image: Tensor  # (3, H, W) in [0, 1], in steps of 1/255
    views: int  # views denoised
    seconds: float


class Gallery:
    """A folder of pictures, which is made where there is none.

    `painted_by` are files whose content the pictures depend on, and folders, of which it is the Python files; `setting`
    is all else that they depend on, such as the precision.
    """

    def __init__(self, directory: Path, painted_by: Iterable[Path] = (), **setting: Any):
        self.directory = directory
        self.setting = setting | {"painted by": [_content(path) for path in painted_by]}
        self.painted = 0  # since the start of this run
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, what: Any) -> Path:
        """Where a picture is kept; `what` is anything that `repr` shows whole, such as a dataclass of parameters."""
        described = json.dumps({"what": repr(what)} | self.setting, sort_keys=True)
        return self.directory / f"{hashlib.sha256(described.encode()).hexdigest()[:20]}.png"

    def picture(self, what: Any, paint: Callable[[], tuple[Tensor, int]]) -> Kept:
        """The kept picture, or what `paint` gives: an image (3, H, W) in [0, 1] and its model calls."""
        path = self.path(what)
        if not path.exists():
            start = now()
            image, views = paint()
            self._keep(path, image, {"views": views, "seconds": now() - start})
            self.painted += 1
        with Image.open(path) as file:
            pixels, cost = np.array(file), json.loads(file.info["cost"])
        return Kept(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, **cost)

    def _keep(self, path: Path, image: Tensor, cost: dict[str, float]) -> None:
        pixels = (image.float().clamp(0, 1).permute(1, 2, 0).cpu() * 255).round().byte().numpy()
        text = PngImagePlugin.PngInfo()
        text.add_text("cost", json.dumps(cost))
        partial = path.with_suffix(f".{os.getpid()}.partial")
        Image.fromarray(pixels).save(partial, format="PNG", pnginfo=text)
        partial.replace(path)


def _content(path: Path) -> str:
    """A hash of a file, or of the names and contents of the Python files in a folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = {file.relative_to(path).as_posix(): _content(file) for file in path.rglob("*.py")}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

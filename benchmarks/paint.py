"""Panoramas painted one after the other, and tables of what was measured on them."""

import sys
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from demo.panorama import PanoramaParams, paint_panorama
from demo.pipeline import LandscapePipeline


class Painted(NamedTuple):
    """Some panoramas of one size and what they cost, each."""

    images: Tensor  # (N, 3, H, W)
    model_calls: float
    seconds: float


def paint(pipeline: LandscapePipeline, variants: Iterable[PanoramaParams]) -> Painted:
    """Paint them all, with a dot for each."""
    images, calls = [], []
    start = time.perf_counter()
    for params in variants:
        image, model_calls = paint_panorama(pipeline, params)
        images.append(image.float().cpu())
        calls.append(model_calls)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    seconds = time.perf_counter() - start
    return Painted(torch.cat(images), sum(calls) / len(calls), seconds / len(calls))


def header(first: str, columns: Sequence[str]) -> None:
    """The head of a table."""
    print(f"| {first} | {' | '.join(column.replace('_', ' ') for column in columns)} |")
    print("|---" * (len(columns) + 1) + "|", flush=True)


def row(label: str, cells: Iterable[Tensor | float | str]) -> None:
    """One line: of a tensor its mean and the standard error of the mean, of a number the whole."""
    print(f"| {label} | {' | '.join(_cell(cell) for cell in cells)} |", flush=True)


def _cell(value: Tensor | float | str) -> str:
    if isinstance(value, Tensor):
        error = value.std() / len(value) ** 0.5 if len(value) > 1 else 0.0
        return f"{value.mean():.3f} ± {error:.3f}"
    return value if isinstance(value, str) else f"{value:.0f}"

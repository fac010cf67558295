"""What is measured on the panoramas of a world, by the names that the tables have.

order violations    layers of a column that lie under one that belongs below them; a scene stacked on itself has 1
palette deviation   of the colours from those of the prompt, in standard deviations
window deviation    the same for every native window with its own best palette: how good single windows are
palette distance    of native windows of a row that do not touch: RGB units
style distance      of their textures, 0 to 2
feature distance    of their feature maps, place by place
neighbour distance  of the palettes of native windows side by side
diversity           distance of the palettes of different panoramas
seam energy         colour step at the borders of the windows relative to places nearby; 1 is no seam
grid x 8 px        strength of what repeats every 8 pixels (a latent cell) from left to right; 1 is no grid. Also for
                    16 pixels (two cells, one of the next coarser scale) and from top to bottom (y)
sharpness           contrast of the details, RGB units
FID, KID            of the features of native windows half a window apart, against true pictures for the same prompts
Mean-GIQA           how near each of these windows is to the true ones most like it; the higher, the better
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import torch
from torch import Tensor

from core.canvas.windows import Size, Window, canvas_size, plan_windows
from core.measure.coherence import Pair, pairs_apart, palette, palette_distance, style_distance
from core.measure.seams import seam_energy, window_borders
from demo.autoencoder import PIXELS_PER_CELL
from demo.metrics import grid_energy, order_violations_per_column, palette_deviation, sharpness, window_deviation
from demo.worlds import LANDSCAPES, World

from ..bootstrap import Interval, mean_interval, set_interval
from ..distances import fid, giqa, kid
from ..table import Value
from .features import WINDOW, FeatureNetwork, feature_distance, features_of
from .gallery import Kept


@dataclass(frozen=True, kw_only=True)
class Row:
    """The panoramas of one row of a table, all of one size."""

    kept: Sequence[Kept]
    prompts: Sequence[str]  # of each
    stride: int  # latent cells, of the windows whose borders are looked at
    network: FeatureNetwork
    world: World = LANDSCAPES
    truth: Tensor | None = None  # (windows, 64) features of true pictures; only sets are compared with them

    def each(self, measure: Callable[[Tensor, str], Tensor]) -> Tensor:
        """(N,) numbers of a function of an image (1, 3, H, W) and its prompt."""
        pairs = zip(self.kept, self.prompts, strict=True)
        return torch.cat([measure(kept.image[None], prompt).reshape(1) for kept, prompt in pairs])

    def each_in_world(self, measure: Callable[[Tensor, str, World], Tensor]) -> Tensor:
        """(N,) numbers of a function that knows the world."""
        return self.each(lambda image, prompt: measure(image, prompt, self.world))

    def from_truth(self, distance: Callable[[Tensor, Tensor], float]) -> Interval:
        """A distance of the features of all windows from those of true pictures."""
        truth = self.known_truth
        return set_interval(lambda drawn: distance(self.features[drawn].flatten(0, 1), truth), len(self.kept))

    @property
    def known_truth(self) -> Tensor:
        """The features of true pictures, which some metrics need."""
        if self.truth is None:
            raise ValueError("truth: FID, KID and GIQA need features of true pictures, and this row has none.")
        return self.truth

    @cached_property
    def features(self) -> Tensor:
        """(N, windows, 64)."""
        return torch.stack([all_features(self.network, kept.image) for kept in self.kept])


def all_features(network: FeatureNetwork, image: Tensor) -> Tensor:
    """Of the native windows of an image (3, H, W), half a window apart: (windows, 64)."""
    return features_of(network, image, native_windows(image, WINDOW // 2))


def native_windows(image: Tensor, stride: int = WINDOW) -> tuple[Window, ...]:
    """Windows of the model's size on an image (..., H, W), `stride` pixels apart; by default side by side."""
    return plan_windows(canvas_size(image), Size(WINDOW, WINDOW), Size(stride, stride))


def distant(image: Tensor) -> list[Pair]:
    """Pairs of native windows of a row that do not touch."""
    return pairs_apart(native_windows(image), canvas_size(image))


def neighbours(image: Tensor) -> list[Pair]:
    """Pairs of native windows side by side."""
    return [(left, right) for left, right in pairwise(native_windows(image)) if left.top == right.top]


def palette_diversity(images: Tensor) -> Tensor:
    """How much the `palette` of each picture (B, C, H, W) differs from those of the others: mean distance, (B,).

    Raises:
        ValueError: a single picture, which has no others.
    """
    if len(images) < 2:
        raise ValueError("diversity: needs at least 2 panoramas in a row, got 1; use --seeds 2 or more.")
    palettes = palette(images)
    return torch.cdist(palettes, palettes).sum(dim=1) / (len(images) - 1)


def _seams(image: Tensor, stride: int) -> Tensor:
    windows = native_windows(image, PIXELS_PER_CELL * stride)
    return seam_energy(image, window_borders(windows, canvas_size(image)))


def _grid(row: Row, period: int, axis: str) -> Tensor:
    return row.each(lambda image, _: grid_energy(image, period, axis))


EACH: dict[str, Callable[[Row], Tensor]] = {
    "order violations": lambda row: row.each_in_world(order_violations_per_column),
    "palette deviation": lambda row: row.each_in_world(palette_deviation),
    "window deviation": lambda row: row.each_in_world(window_deviation),
    "palette distance": lambda row: row.each(lambda image, _: palette_distance(image, distant(image))),
    "style distance": lambda row: row.each(lambda image, _: style_distance(image, distant(image))),
    "feature distance": lambda row: row.each(lambda image, _: feature_distance(row.network, image[0], distant(image))),
    "neighbour distance": lambda row: row.each(lambda image, _: palette_distance(image, neighbours(image))),
    "diversity": lambda row: palette_diversity(torch.stack([kept.image for kept in row.kept])),
    "seam energy": lambda row: row.each(lambda image, _: _seams(image, row.stride)),
    "seam energy at s / 2": lambda row: row.each(lambda image, _: _seams(image, row.stride // 2)),
    **{f"grid {axis} {px} px": partial(_grid, period=px, axis=axis) for axis in "xy" for px in (8, 16)},
    "sharpness": lambda row: row.each(lambda image, _: sharpness(image)),
    "Mean-GIQA": lambda row: torch.stack([giqa(windows, row.known_truth).mean() for windows in row.features]),
}
SETS: dict[str, Callable[[Tensor, Tensor], float]] = {"FID": fid, "KID": kid}
COMPARED = {*SETS, "Mean-GIQA"}  # need true pictures
COSTS: dict[str, Callable[[Sequence[Kept]], float]] = {
    "views denoised": lambda row: statistics.fmean(kept.views for kept in row),
    "seconds": lambda row: statistics.median(kept.seconds for kept in row),
}


def measure(row: Row, metrics: Sequence[str]) -> dict[str, Value]:
    """The metrics of one row, with 95 % intervals; of the cost mean and median."""
    values: dict[str, Value] = {}
    for metric in metrics:
        if metric in EACH:
            values[metric] = mean_interval(EACH[metric](row))
        elif metric in SETS:
            values[metric] = row.from_truth(SETS[metric])
        else:
            values[metric] = COSTS[metric](row.kept)
    return values

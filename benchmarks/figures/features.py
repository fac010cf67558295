"""Features of a small network that knows a world, and what is measured in them.

`benchmarks.figures.train_features` trains one for each world. FID and KID compare sets of windows,
as Inception features do for photographs, the feature distance compares two windows place by place, as LPIPS does. The
numbers can be compared with each other and not with those of other networks.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

Window = tuple[int, int, int, int]  # top, left, height, width in pixels, as those of the core

HERE = Path(__file__)
WEIGHTS = {  # by the name of the world
    "landscapes": HERE.with_suffix(".safetensors"),
    "town": HERE.parents[1] / "town" / "weights" / "features.safetensors",
}
WINDOW = 128  # pixels: what the network looks at
SIZE = 64  # features of a window; FID needs more windows than that
WIDTHS = (16, 32, 48, 64)  # channels at 64, 32, 16 and 8 rows
KNOWN, DETAIL = 64, sum(WIDTHS[:2])


class FeatureNetwork(nn.Module):
    """Windows (N, 3, 128, 128) in [0, 1] to features (N, 64), over true windows white."""

    mean: Tensor
    whitening: Tensor

    def __init__(self) -> None:
        super().__init__()
        channels = (12, *WIDTHS)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, stride=1 if i == 0 else 2), nn.BatchNorm2d(after), nn.SiLU()
            )
            for i, (before, after) in enumerate(pairwise(channels))
        )
        # Where something is belongs to what a window shows, and how much of a texture there is to how well it is made.
        self.places = nn.Sequential(nn.Conv2d(WIDTHS[-1], 32, 1), nn.Flatten())
        self.head = nn.Linear(32 * 8 * 8 + sum(WIDTHS), KNOWN)
        self.register_buffer("mean", torch.zeros(KNOWN + DETAIL))
        self.register_buffer("whitening", torch.eye(KNOWN + DETAIL, SIZE))

    def maps(self, windows: Tensor) -> list[Tensor]:
        """The feature maps of every stage, finest first."""
        x, maps = self.unshuffle(2 * windows - 1), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def known(self, maps: list[Tensor]) -> Tensor:
        """What the network was trained to know, (N, KNOWN)."""
        means = [stage.mean(dim=(2, 3)) for stage in maps]
        return self.head(torch.cat([self.places(maps[-1]), *means], dim=1))

    def described(self, windows: Tensor) -> Tensor:
        """What is known of the windows, and how much detail the finer maps have: (N, KNOWN + DETAIL)."""
        maps = self.maps(windows)
        return torch.cat([self.known(maps), *((stage.std(dim=(2, 3)) + 1e-3).log() for stage in maps[:2])], dim=1)

    def forward(self, windows: Tensor) -> Tensor:
        """The features."""
        return (self.described(windows) - self.mean) @ self.whitening


def load_features(world: str = "landscapes") -> FeatureNetwork:
    """The trained network of a world.

    Raises:
        FileNotFoundError: it was not trained yet.
    """
    if not (path := WEIGHTS[world]).exists():
        command = f"python -m benchmarks.figures.train_features --world {world}"
        raise FileNotFoundError(f"{path}: the weights of the features are missing; make them with `{command}`.")
    network = FeatureNetwork()
    network.load_state_dict(load_file(path))  # half precision there, single here
    return network.eval().requires_grad_(False)


def features_of(network: FeatureNetwork, image: Tensor, windows: Sequence[Window]) -> Tensor:
    """Features of windows of one panorama (3, H, W), all of 128 x 128 pixels: (windows, 64)."""
    return network(_views(image, windows))


def feature_distance(network: FeatureNetwork, image: Tensor, pairs: Sequence[tuple[Window, Window]]) -> Tensor:
    """How differently pairs of windows of one panorama (3, H, W) look, place by place.

    LPIPS (Zhang et al. 2018, Eq. 1) with this network and without learned weights: at every place of every stage the
    squared distance of the feature vectors, each of length one, averaged over places, stages and pairs; 0 without any.
    """
    if not pairs:
        return torch.zeros(())
    windows = list(dict.fromkeys(window for pair in pairs for window in pair))
    one, other = ([windows.index(pair[end]) for pair in pairs] for end in (0, 1))
    distances = []
    for stage in network.maps(_views(image, windows)):
        places = nn.functional.normalize(stage, dim=1)
        distances.append((places[one] - places[other]).square().sum(dim=1).mean())
    return torch.stack(distances).mean()


def _views(image: Tensor, windows: Sequence[Window]) -> Tensor:
    return torch.stack([image[:, top : top + height, left : left + width] for top, left, height, width in windows])

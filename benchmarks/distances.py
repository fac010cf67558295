"""How far pictures are from true ones, by the features that a network has of them.

FID and KID compare two sets, by torchmetrics. GIQA judges each picture.
"""

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance


class Given(nn.Identity):
    """The network of a metric whose features are there already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features


def fid(features: Tensor, truth: Tensor) -> float:
    """Frechet distance (Heusel et al. 2017) of (N, C) and (M, C) features; with few pictures it is too large."""
    return _compared(FrechetInceptionDistance(Given(features.shape[1])), features, truth).item()


def kid(features: Tensor, truth: Tensor, subsets: int = 1, most: int | None = None) -> float:
    """Squared MMD with the cubic polynomial kernel (Binkowski et al. 2018) of (N, C) and (M, C); right with few, too.

    The mean over random subsets, the same in every run, as large as the smaller set, but not larger than `most`.
    """
    size = min(len(features), len(truth), most or len(truth))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps what it is given
        metric = KernelInceptionDistance(Given(features.shape[1]), subsets=subsets, subset_size=size)
        torch.manual_seed(0)
        return _compared(metric, features, truth)[0].item()


def giqa(features: Tensor, truth: Tensor, nearest: int = 5) -> Tensor:
    """KNN-GIQA (Gu et al. 2020, GIQA): the mean of 1 / distance to the `nearest` of (M, C), for each of (N, C)."""
    return torch.cdist(features, truth).topk(nearest, largest=False).values.reciprocal().mean(dim=1)


def _compared(metric, features: Tensor, truth: Tensor):
    metric.update(truth, real=True)
    metric.update(features, real=False)
    return metric.compute()

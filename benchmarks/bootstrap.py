"""95 % intervals by resampling panoramas, so that the windows of one, which are much alike, stay together."""

from collections.abc import Callable

import torch
from torch import Tensor

Interval = tuple[float, float, float]  # the value, and the bounds around it

RESAMPLES = 200
BOUNDS = torch.tensor([0.025, 0.975], dtype=torch.float64)


def mean_interval(values: Tensor) -> Interval:
    """The mean of (N,) numbers, one for each panorama."""
    low, high = values.double()[_draws(len(values), 10 * RESAMPLES)].mean(dim=1).quantile(BOUNDS).tolist()
    return values.double().mean().item(), low, high


def set_interval(distance: Callable[[Tensor], float], count: int) -> Interval:
    """A distance of a set of `count` panoramas, such as FID; asked by their numbers, of which some may come twice.

    The bounds are the quantiles of the resampled distances, seen from their mean and not from the value itself: drawing
    a panorama twice makes a set less diverse, which adds to its distance from any other, but hardly to the spread.
    """
    value = distance(torch.arange(count))
    values = torch.tensor([distance(drawn) for drawn in _draws(count, RESAMPLES)], dtype=torch.float64)
    low, high = (values.quantile(BOUNDS) - values.mean() + value).tolist()
    return value, low, high


def _draws(count: int, resamples: int) -> Tensor:
    return torch.randint(count, (resamples, count), generator=torch.Generator().manual_seed(0))

"""From what was seen in each picture to the numbers of a table, by torchmetrics."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ..bootstrap import mean_interval
from ..table import Value
from .pictures import REFERENCE, Group

MEANS = {
    "LPIPS": "lpips",
    "LPIPS of neighbours": "lpips_neighbours",
    "DISTS": "dists",
    "DISTS of neighbours": "dists_neighbours",
    "CLIP score": "clip",
    "CLIP-aesthetic": "aesthetic",
    "seconds": "seconds",
}
COLUMNS = ("LPIPS", "LPIPS of neighbours", "DISTS", "DISTS of neighbours", "FID", "KID x 1000", "IS")
COLUMNS += ("CLIP score", "CLIP-aesthetic", "seconds")
SUBSET = 1000  # pictures that KID compares at once, as its paper has it, if there are as many


def scores(seen: Mapping[Group, Mapping[str, Tensor]], method: str) -> dict[str, Value]:
    """One row: means over the prompts; IS of all pictures together, since one prompt shows one thing.

    Args:
        seen: of `measure.measured`, all groups.
        method: of the row.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module="torchmetrics")  # on memory that is not much
    prompts = [group.prompt for group in seen if group.method == method]
    rows = [seen[Group(method, prompt)] for prompt in prompts]
    found = {title: mean_over_prompts([row[name].mean().item() for row in rows]) for title, name in MEANS.items()}
    if method != REFERENCE:
        references = [seen[Group(REFERENCE, prompt)]["features"] for prompt in prompts]
        pairs = [(row["features"], real) for row, real in zip(rows, references, strict=True)]
        found["FID"] = mean_over_prompts([frechet_distance(*pair) for pair in pairs])
        found["KID x 1000"] = mean_over_prompts([1000 * kernel_distance(*pair) for pair in pairs])
    found["IS"] = inception_score(torch.cat([row["logits"] for row in rows]))
    return found


def mean_over_prompts(values: Sequence[float]) -> Value:
    """With its 95 % interval, prompts resampled; one prompt has none."""
    return mean_interval(torch.tensor(values, dtype=torch.float64)) if len(values) > 1 else values[0]


class Given(nn.Identity):
    """The network of a metric whose features are there already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features


def frechet_distance(features: Tensor, real: Tensor) -> float:
    """FID of (N, C) and (M, C) features."""
    metric = FrechetInceptionDistance(Given(features.shape[1]))
    metric.update(real.double(), real=True)
    metric.update(features.double(), real=False)
    return metric.compute().item()


def kernel_distance(features: Tensor, real: Tensor) -> float:
    """KID of (N, C) and (M, C) features, mean over random subsets that are the same in every run."""
    size = min(SUBSET, len(features), len(real))
    metric = KernelInceptionDistance(Given(features.shape[1]), subset_size=size)
    metric.update(real.double(), real=True)
    metric.update(features.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return metric.compute()[0].item()


def inception_score(logits: Tensor) -> float:
    """IS of (N, classes) logits, in one piece."""
    metric = InceptionScore(Given(logits.shape[1]), splits=1)
    metric.update(logits.double())
    return metric.compute()[0].item()

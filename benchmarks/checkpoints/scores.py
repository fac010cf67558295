"""From what was seen in each picture to the numbers of a table, by torchmetrics."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

from ..bootstrap import mean_interval
from ..distances import Given, fid, kid
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
SUBSETS, SUBSET = 100, 1000  # how often KID compares, and how many pictures at once, as its paper has it


def scores(seen: Mapping[Group, Mapping[str, Tensor]], method: str) -> dict[str, Value]:
    """The row of a method: means over the prompts; IS of all pictures together, since one prompt shows one thing.

    `seen` has what `measure.measured` found in each group.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module="torchmetrics")  # on memory that is not much
    prompts = [group.prompt for group in seen if group.method == method]
    rows = [seen[Group(method, prompt)] for prompt in prompts]
    found = {title: mean_over_prompts([row[name].mean().item() for row in rows]) for title, name in MEANS.items()}
    if method != REFERENCE:
        pairs = [[seen[Group(of, prompt)]["features"].double() for of in (method, REFERENCE)] for prompt in prompts]
        found["FID"] = mean_over_prompts([fid(ours, real) for ours, real in pairs])
        found["KID x 1000"] = mean_over_prompts([1000 * kid(ours, real, SUBSETS, SUBSET) for ours, real in pairs])
    found["IS"] = inception_score(torch.cat([row["logits"] for row in rows]))
    return found


def mean_over_prompts(values: Sequence[float]) -> Value:
    """With its 95 % interval, prompts resampled; one prompt has none."""
    return mean_interval(torch.tensor(values, dtype=torch.float64)) if len(values) > 1 else values[0]


def inception_score(logits: Tensor) -> float:
    """IS of (N, classes) logits, in one piece."""
    metric = InceptionScore(Given(logits.shape[1]), splits=1)
    metric.update(logits.double())
    return metric.compute()[0].item()

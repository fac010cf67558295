"""What the networks see in each picture, as the papers show it to them; kept in a file for each method and prompt."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import pil_to_tensor

from .networks import Networks
from .pictures import REFERENCE, Collection, Group, Painted

FOLDER = "measured"


def measured(out: Path, group: Group, collection: Collection, networks: Networks) -> dict[str, Tensor]:
    """By name, for each picture in order: of one random square, and of all pairs of squares side by side.

    As in TwinDiffusion, section 4.2, and SyncDiffusion, section 5: squares are as high as the panorama (in MSD, too,
    where this is two windows), and are shrunk to the size of the single pictures. Of these, a picture and the next
    are a pair, to compare the distances with.

    Returns:
        features (N, 2048) and logits (N, 1008) of Inception, clip, aesthetic, lpips, lpips_neighbours, dists,
        dists_neighbours, seconds (N,).
    """
    painted = collection.groups[group]
    with Image.open(collection.groups[Group(REFERENCE, group.prompt)][0].path) as single:
        side = min(single.size)
    path = out / FOLDER / group.folder.with_suffix(".safetensors")
    key = _key(painted, side, networks)
    if path.exists():
        with safe_open(path, "pt") as file:
            if file.metadata()["key"] == key:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
    found = _look(group, painted, side, networks)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file(found, unfinished, {"key": key})
    os.replace(unfinished, path)
    return found


def random_square(picture: Tensor, seed: int) -> Tensor:
    """A square as large as the picture (3, H, W) holds, at a place that depends on the seed alone."""
    side = min(picture.shape[-2:])
    place = torch.rand(2, generator=torch.Generator().manual_seed(seed))
    top, left = (round(p * (length - side)) for p, length in zip(place.tolist(), picture.shape[-2:], strict=True))
    return picture[:, top : top + side, left : left + side]


def squares(picture: Tensor) -> list[Tensor]:
    """Those of a panorama (3, H, W), side by side from the left; what is left over at the right is not seen."""
    side = picture.shape[-2]
    return [picture[:, :, left : left + side] for left in range(0, picture.shape[-1] - side + 1, side)]


def shrunk(pictures: Sequence[Tensor], side: int) -> Tensor:
    """Squares as bytes (N, 3, side, side)."""
    stacked = torch.stack(list(pictures))
    if stacked.shape[-1] == side:
        return stacked
    resized = interpolate(stacked.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).byte()


def _look(group: Group, painted: Sequence[Painted], side: int, networks: Networks) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(painted), networks.batch):
        batch = range(start, min(start + networks.batch, len(painted)))
        crops = [random_square(_load(painted[i]), painted[i].seed) for i in batch]
        if group.method == REFERENCE:
            after = painted[(batch[-1] + 1) % len(painted)]
            rows = list(zip(crops, [*crops[1:], random_square(_load(after), after.seed)], strict=True))
        else:
            rows = [squares(_load(painted[i])) for i in batch]
        seen = shrunk(crops, side)
        features, logits = networks.inception(seen)
        clip, aesthetic = networks.clip(seen, group.prompt)
        found = {"features": features, "logits": logits, "clip": clip, "aesthetic": aesthetic}
        distances = [_distances(shrunk(row, side), networks) for row in rows]
        found |= {name: torch.stack([d[name] for d in distances]) for name in distances[0]}
        found["seconds"] = torch.tensor([painted[i].seconds for i in batch])
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
    return {name: torch.cat(values) for name, values in parts.items()}


def _distances(row: Tensor, networks: Networks) -> dict[str, Tensor]:
    """Means over the pairs of one row, all and neighbours only."""
    pairs = list(combinations(range(len(row)), 2))
    near = [second - first == 1 for first, second in pairs]
    firsts, seconds = (row[list(indices)] for indices in zip(*pairs, strict=True))
    found = {}
    for name, distance in (("lpips", networks.lpips), ("dists", networks.dists)):
        distances = distance(firsts, seconds)
        found |= {name: distances.mean(), f"{name}_neighbours": distances[near].mean()}
    return found


def _load(painted: Painted) -> Tensor:
    with Image.open(painted.path) as image:
        return pil_to_tensor(image.convert("RGB"))


def _key(painted: Sequence[Painted], side: int, networks: Networks) -> str:
    """Other pictures or other networks have another."""
    files = [(p.path.name, p.path.stat().st_mtime_ns, p.path.stat().st_size) for p in painted]
    return hashlib.sha256(json.dumps([asdict(networks.params), side, files]).encode()).hexdigest()

"""Train the network of `benchmarks.figures.features` to tell what makes a picture of a world.

    python -m benchmarks.figures.train_features
    python -m benchmarks.figures.train_features --world town --kept out/train-town

From 64 numbers it has to say palette (such as season and hour) and scale of a window, which layers are where, and what
is wrong with it: half of the windows are damaged in one of the ways in which joint diffusion fails. Three minutes of
one core once the pictures are drawn.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from demo.dataset import Picture, pixels, random_window
from demo.train.fit import learning_rate
from demo.train.pictures import draw_pictures
from demo.vocabulary import ZOOMS
from demo.worlds import LANDSCAPES, World

from ..worlds import WORLDS, add_world
from .features import KNOWN, SIZE, WEIGHTS, WINDOW, FeatureNetwork

GRID = 4  # rows and columns of places whose layers are asked for
DAMAGES = ("none", "blur", "noise", "mixture", "seam")
HELD_BACK = 200  # pictures for the test at the end
ASKED, WHITENED = 1000, 1600  # windows: of the test, and to whiten the features with


class Batch(NamedTuple):
    """Windows and what is known of them."""

    windows: Tensor  # (N, 3, 128, 128)
    words: Tensor  # (N, 3) numbers of the two words for the palette, and of the zoom
    layers: Tensor  # (N, L, 4, 4) shares
    damage: Tensor  # (N,) numbers in DAMAGES


def draw_batch(pictures: list[Picture], count: int, rng: np.random.Generator, world: World = LANDSCAPES) -> Batch:
    """Windows at random cells of random pictures, half of them damaged."""
    images, words, layers = [], [], []
    for i in rng.integers(len(pictures), size=count):
        picture = pictures[i]
        window = random_window(picture, rng)
        images.append(pixels(picture, window))
        layers.append(picture.layers[window])
        palette = [known.index(getattr(picture.scene, field)) for field, known in world.palette.items()]
        words.append([*palette, ZOOMS.index(picture.zoom)])
    windows = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    shares = nn.functional.one_hot(torch.from_numpy(np.stack(layers)).long(), len(world.layers)).permute(0, 3, 1, 2)
    kinds = torch.from_numpy(rng.integers(1, len(DAMAGES), size=count) * (rng.random(count) < 0.5))
    place = shares.shape[-1] // GRID  # cells along its side
    damaged = torch.stack([damage(windows, i, int(kind), rng) for i, kind in enumerate(kinds)])
    return Batch(damaged, torch.tensor(words), nn.functional.avg_pool2d(shares.float(), place), kinds)


def damage(windows: Tensor, i: int, kind: int, rng: np.random.Generator) -> Tensor:
    """Window i with a damage; where it takes a second window, that is the next one."""
    window, other = windows[i], windows[(i + 1) % len(windows)]
    if DAMAGES[kind] == "blur":
        size = int(rng.integers(2, 5))
        small = nn.functional.avg_pool2d(window[None], size, ceil_mode=True)
        return nn.functional.interpolate(small, size=window.shape[1:], mode="bilinear")[0]
    if DAMAGES[kind] == "noise":
        noise = torch.from_numpy(rng.standard_normal(window.shape, dtype=np.float32))
        return (window + float(rng.uniform(0.02, 0.1)) * noise).clamp(0, 1)
    if DAMAGES[kind] == "mixture":
        return window.lerp(other, float(rng.uniform(0.25, 0.75)))
    if DAMAGES[kind] == "seam":
        border = int(rng.integers(WINDOW // 4, 3 * WINDOW // 4))
        return torch.cat([window[..., :border], other[..., border:]], dim=-1)
    return window


class Answers(nn.Module):
    """What is asked of the numbers that are known; only needed in training."""

    def __init__(self, world: World = LANDSCAPES) -> None:
        super().__init__()
        self.layers = len(world.layers)
        palette = (len(known) for known in world.palette.values())
        self.sizes = (*palette, len(ZOOMS), self.layers * GRID**2, len(DAMAGES))
        self.linear = nn.Linear(KNOWN, sum(self.sizes))

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Logits for the words of the palette, zoom, layers (N, L, 4, 4) and damage."""
        *words, layers, damage = self.linear(features).split(self.sizes, dim=1)
        return *words, layers.unflatten(1, (self.layers, GRID, GRID)), damage


def loss_of(answers: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Cross entropies; of a window made of two only the damage is asked."""
    *words, layers, kind = answers
    one = batch.damage < DAMAGES.index("mixture")
    entropy = nn.functional.cross_entropy
    loss = sum(entropy(logits[one], batch.words[one, i]) for i, logits in enumerate(words))
    return loss + 2 * entropy(layers[one], batch.layers[one]) + entropy(kind, batch.damage)


def train(network: FeatureNetwork, pictures: list[Picture], steps: int, batch: int, world: World) -> Answers:
    """Adam on cross entropies."""
    rng, answers = np.random.default_rng(0), Answers(world)
    optimiser = torch.optim.AdamW([*network.parameters(), *answers.parameters()], weight_decay=1e-2)
    start = time.time()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, 2e-3, warmup=50)
        drawn = draw_batch(pictures, batch, rng, world)
        with torch.autocast("cpu", torch.bfloat16):
            output = answers(network.known(network.maps(drawn.windows.contiguous(memory_format=torch.channels_last))))
        loss = loss_of(tuple(logits.float() for logits in output), drawn)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"features {step}/{steps} loss {loss.item():.3f} {time.time() - start:.0f} s", flush=True)
    return answers.eval()


@torch.no_grad()
def report(network: FeatureNetwork, answers: Answers, pictures: list[Picture], world: World) -> None:
    """How often the answers are right on pictures that were held back."""
    batch = draw_batch(pictures, ASKED, np.random.default_rng(1), world)
    *words, layers, kind = answers(network.known(network.maps(batch.windows)))
    one = batch.damage == 0
    for i, name in enumerate((*world.palette, "zoom")):
        print(f"{name}: {(words[i].argmax(1) == batch.words[:, i])[one].float().mean():.3f} right")
    print(f"layers: {(layers.softmax(1) - batch.layers)[one].abs().sum(1).mean() / 2:.3f} of a place wrong")
    print(f"damage: {(kind.argmax(1) == batch.damage).float().mean():.3f} right")


@torch.no_grad()
def whiten(network: FeatureNetwork, pictures: list[Picture], world: World) -> None:
    """Features are the directions in which true windows differ most, and none counts more than another."""
    batch = draw_batch(pictures, WHITENED, np.random.default_rng(2), world)
    described = network.described(batch.windows[batch.damage == 0])
    mean, std = described.mean(dim=0), described.std(dim=0)
    variances, directions = torch.linalg.eigh(((described - mean) / std).T.cov())  # rising
    network.mean.copy_(mean)
    network.whitening.copy_((directions * variances.rsqrt() / std[:, None])[:, -SIZE:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_world(parser)
    parser.add_argument("--pictures", type=int, default=2600, help="drawn pictures of the world")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--kept", type=Path, help="folder of drawn pictures, as `python -m demo.train --kept` has it")
    parser.add_argument("--out", type=Path, help="where the weights go, if not where they are read")
    args = parser.parse_args()
    world = WORLDS[args.world]
    torch.manual_seed(0)
    pictures = draw_pictures(args.pictures, workers=1, kept=args.kept, world=world)
    network = FeatureNetwork().to(memory_format=torch.channels_last)
    answers = train(network, pictures[:-HELD_BACK], args.steps, args.batch, world)
    network.eval()
    report(network, answers, pictures[-HELD_BACK:], world)
    whiten(network, pictures, world)
    state = network.state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file({name: value.contiguous() for name, value in halves.items()}, args.out or WEIGHTS[world.name])


if __name__ == "__main__":
    main()

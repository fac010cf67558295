"""The network of the figures' features is trained, a hundred steps on a few pictures, and says what it has to."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from commands import python
from safetensors.torch import load_file

TRAIN = """
import json, sys
from pathlib import Path
import numpy as np, torch
from benchmarks.figures import train_features
from benchmarks.figures.features import SIZE, FeatureNetwork
from demo.train.pictures import draw_pictures
from safetensors.torch import load_file

train_features.HELD_BACK, train_features.ASKED, train_features.WHITENED = 4, 100, 400
weights = Path(sys.argv[1])
pictures = draw_pictures(12, workers=1, kept=weights.parent)
kept = ["--pictures", "12", "--kept", str(weights.parent)]
sys.argv[1:] = [*kept, "--steps", "101", "--batch", "4", "--out", str(weights)]
train_features.main()

network = FeatureNetwork()
network.load_state_dict(load_file(weights))
batch = train_features.draw_batch(pictures, 400, np.random.default_rng(2))
with torch.no_grad():
    features = network.eval()(batch.windows[batch.damage == 0])
apart = (features.T.cov() - torch.eye(SIZE)).abs().max().item()
print(json.dumps([features.mean(dim=0).abs().max().item(), apart]))

windows = torch.stack([torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(i)) for i in range(2)])
kinds = range(len(train_features.DAMAGES))
damaged = torch.stack([train_features.damage(windows, 0, kind, np.random.default_rng(0)) for kind in kinds])
from_this, from_other = ((damaged == window).all(dim=1).all(dim=1).tolist() for window in windows)
print(json.dumps([from_this, from_other, damaged.std(dim=(1, 2, 3)).tolist()]))

answers = train_features.Answers()(torch.rand(400, train_features.KNOWN))
loss = train_features.loss_of(answers, batch)
made_of_two = batch.damage >= train_features.DAMAGES.index("mixture")
batch.words[made_of_two] = 0
same = train_features.loss_of(answers, batch)
batch.words[:] = 0
print(json.dumps([same.item() - loss.item(), train_features.loss_of(answers, batch).item() - loss.item()]))
"""


class Trained(NamedTuple):
    """What came of the training."""

    weights: Path
    said: str
    white: list[float]  # how far the mean of the features is from 0, and their covariance from that of white ones
    damaged: list[list[Any]]  # columns as in the first window, and in the second; spread of the colours; by damage
    losses: list[float]  # what the words of windows made of two add, and those of all


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    weights = tmp_path_factory.mktemp("features") / "features.safetensors"
    done = python("-c", TRAIN, str(weights))
    assert done.returncode == 0, done.stderr
    *said, white, damaged, losses = done.stdout.splitlines()
    return Trained(weights, "\n".join(said), *map(json.loads, (white, damaged, losses)))


def test_training_learns_and_reports(trained):
    first, last = map(float, re.findall(r"features \d+/101 loss ([\d.]+)", trained.said))
    assert last < first
    right = dict(re.findall(r"(\w+): ([\d.]+) right", trained.said))
    assert right.keys() == {"season", "hour", "zoom", "damage"}
    assert float(right["damage"]) > 0.3  # one of five by chance


def test_the_weights_are_those_of_the_network_in_half_precision(trained):
    """The network itself has loaded them, and all of them."""
    stored = load_file(trained.weights)
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    assert 0 < stored["whitening"].abs().max() < float("inf")


def test_features_of_true_windows_are_white(trained):
    mean, apart = trained.white
    assert mean < 0.05
    assert apart < 0.1


def test_damages_are_what_they_are_called(trained):
    this, other, spread = (
        dict(zip(("none", "blur", "noise", "mixture", "seam"), v, strict=True)) for v in trained.damaged
    )
    assert all(this["none"])
    assert not any(this["blur"] + this["noise"] + this["mixture"])
    border = sum(this["seam"])
    assert 32 <= border < 96
    assert this["seam"] == [True] * border + [False] * (128 - border)
    assert other["seam"] == [not column for column in this["seam"]]
    assert spread["blur"] < 0.6 * spread["none"]
    assert spread["mixture"] < 0.9 * spread["none"]


def test_of_a_window_made_of_two_only_the_damage_is_asked(trained):
    of_two, of_all = trained.losses
    assert of_two == 0
    assert of_all != 0

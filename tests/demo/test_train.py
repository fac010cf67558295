"""The training of the bundled model, a few steps of it: it writes what is read, and goes on where it was stopped."""

import re
from types import SimpleNamespace

import pytest
import torch
from commands import python
from joint_diffusion.demo.autoencoder import Autoencoder
from joint_diffusion.demo.model import LandscapeUNet
from joint_diffusion.demo.pipeline import loaded
from joint_diffusion.demo.train import fit as loop
from joint_diffusion.demo.train.fit import fit
from joint_diffusion.demo.train.pictures import PICKED, chances
from torch import nn
from torch.testing import assert_close


class Stopped(Exception):
    """As Ctrl C does."""


def train(folder, steps=6, until=None):
    """A line through points; stopped before step `until`."""
    torch.manual_seed(0)
    line = nn.Linear(3, 1)

    def batch_loss(step):
        if step == until:
            raise Stopped
        x = torch.randn(8, 3)  # chance comes from the step
        return (line(x) - x.sum(dim=1, keepdim=True) - 0.1 * torch.randn(8, 1)).square().mean()

    checkpoint = folder / "line.pt"
    optimiser = torch.optim.Adam(line.parameters())
    try:
        fit("line", batch_loss, optimiser, 0.1, steps, {"model": line}, checkpoint)
    except Stopped:
        return None
    return line.state_dict()


def test_a_stopped_run_goes_on_and_equals_the_whole_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "EVERY", 0)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = train(whole)
    assert train(parts, until=2) is None
    assert train(parts, until=5) is None
    assert_close(train(parts), expected, rtol=0, atol=0)
    assert "goes on at step 2 of 6" in capsys.readouterr().out
    assert sorted(path.name for path in parts.iterdir()) == ["line.log", "line.pt"]


def test_a_minute_is_the_most_that_is_lost(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 25))  # seconds: 25 between two looks at it
    monkeypatch.setattr(loop.time, "time", lambda: next(clock))
    train(tmp_path, steps=40, until=30)
    stored = torch.load(tmp_path / "line.pt", weights_only=True)
    assert 30 - stored["step"] <= 3, "looks at the clock lie 25 s apart, so the last file is at most 75 s old"


def test_each_zoom_word_is_picked_by_its_share():
    words = ["far"] * 30 + ["micro"] * 2
    picked = chances([SimpleNamespace(zoom=word) for word in words])
    assert picked.sum() == pytest.approx(1)
    assert picked[:30].sum() / picked[30:].sum() == pytest.approx(PICKED["far"] / PICKED["micro"])
    assert sum(PICKED.values()) == pytest.approx(1)


def command(folder, *options):
    few = ["--pictures", "4", "--autoencoder-batch", "4", "--batch", "4", "--workers", "1"]
    few += ["--kept", str(folder / "kept"), "--out", str(folder / "weights"), *options]
    done = python("-m", "demo.train", *few)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    steps = ["--autoencoder-steps", "2", "--decoder-steps", "2"]
    return folder, command(folder, *steps, "--steps", "1"), command(folder, *steps, "--steps", "2")


def test_it_writes_weights_that_are_read(trained):
    folder, *_ = trained
    autoencoder = loaded(Autoencoder(), folder / "weights" / "autoencoder.safetensors")
    picture = torch.rand(1, 3, 64, 64)
    assert autoencoder.decode(autoencoder.encode(picture)).shape == picture.shape
    assert not torch.equal(autoencoder.half_matrix, torch.eye(autoencoder.channels))
    loaded(LandscapeUNet(autoencoder.channels), folder / "weights" / "denoiser.safetensors", "unet.")


def test_what_is_done_is_not_done_again(trained):
    folder, first, second = trained
    assert "4 of 4 pictures" in first
    assert "of 4 pictures" not in second
    assert re.search(r"^autoencoder 2/2 loss", first, re.M)
    assert not re.search(r"^autoencoder \d", second, re.M)
    assert "denoiser: goes on at step 1 of 2" in second
    assert "denoiser 2/2" in (folder / "kept" / "denoiser.log").read_text()

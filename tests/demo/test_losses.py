"""The losses of the training: what they see, and that nothing bad lessens them."""

import math

import pytest
import torch
from joint_diffusion.demo.train.losses import lattice_loss, texture_loss

CELLS, CELL = 16, 8
BY_CHANCE = math.log(2)


@pytest.fixture
def noise():
    return 0.05 * torch.randn(8, 3, CELLS * CELL, CELLS * CELL, generator=torch.Generator().manual_seed(0))


def dots(rows=CELLS, columns=CELLS):
    """One light pixel in each of these cells, a fortieth of the contrast of the noise."""
    picture = torch.zeros(1, 3, CELLS * CELL, CELLS * CELL)
    picture[..., 3 : rows * CELL : CELL, 3 : columns * CELL : CELL] = 0.05
    return picture


def test_an_error_by_chance_has_no_pattern(noise):
    assert float(lattice_loss(noise, torch.zeros_like(noise))) == pytest.approx(BY_CHANCE, abs=0.05)


@pytest.mark.parametrize("place", [(CELLS, CELLS), (4, 4)], ids=["everywhere", "in one corner"])
def test_dots_in_every_cell_are_seen(noise, place):
    without = float(lattice_loss(noise / 5, torch.zeros_like(noise)))
    assert float(lattice_loss(noise / 5 + dots(*place), torch.zeros_like(noise))) > without + 0.02


def test_the_tone_of_a_cell_is_no_pattern():
    tones = torch.rand(1, 3, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    picture = tones.repeat_interleave(CELL, dim=2).repeat_interleave(CELL, dim=3)
    assert float(lattice_loss(picture, torch.zeros_like(picture))) == pytest.approx(0, abs=1e-3)


def test_more_error_by_chance_is_no_way_to_a_small_ratio(noise):
    scale = torch.tensor(1.0, requires_grad=True)
    lattice_loss(scale * noise + dots(), torch.zeros_like(noise)).backward()
    assert scale.grad > 0


def test_a_blur_costs_more_than_another_texture_of_the_same_contrast(noise):
    blurred = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert texture_loss(blurred, noise) > 3 * texture_loss(noise.roll(1, dims=0), noise)

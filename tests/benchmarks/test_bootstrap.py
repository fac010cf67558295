import pytest
import torch
from joint_diffusion.benchmarks.bootstrap import mean_interval, set_interval


def test_interval_of_a_mean_is_that_of_a_normal_distribution():
    values = torch.randn(400, generator=torch.Generator().manual_seed(1)).double() * 3 + 5
    mean, low, high = mean_interval(values)
    error = values.std().item() / 400**0.5
    assert mean == pytest.approx(values.mean().item())
    assert low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


def test_it_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(2)
    covered = 0
    for _ in range(200):
        _, low, high = mean_interval(torch.randn(30, generator=generator))
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.98  # of 30 values a percentile interval is a little narrow


def test_interval_of_a_distance_lies_around_its_value():
    """The largest gap between neighbours grows when values are missing, which resampling makes so."""
    values = torch.rand(20, generator=torch.Generator().manual_seed(3))

    def gap(drawn):
        return values[drawn].sort().values.diff().max().item()

    value, low, high = set_interval(gap, 20)
    assert value == gap(torch.arange(20))
    assert low < value < high


def test_one_panorama_has_no_width_and_equal_runs_agree():
    assert mean_interval(torch.tensor([2.5])) == (2.5, 2.5, 2.5)
    values = torch.rand(9, generator=torch.Generator().manual_seed(4))
    assert mean_interval(values) == mean_interval(values)

import pytest
import torch
from joint_diffusion.core.canvas.resample import (
    at_own_noise_level,
    downsample,
    downsampled_size,
    enlarge_bicubic,
    upsample,
)
from joint_diffusion.core.canvas.windows import Size, Wrap, canvas_size
from oracles import halve


def test_halving_equals_the_loop():
    x = torch.randn(3, 8, 14, dtype=torch.float64)
    torch.testing.assert_close(downsample(x, 2), halve(x))


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (5, 9), (2, 3)])
def test_odd_sides_round_up_and_the_last_block_is_the_last_cells(size):
    x = torch.randn(1, 2, *size)
    coarse = downsample(x, 2)
    assert canvas_size(coarse) == downsampled_size(Size(*size), 2) == (-(-size[0] // 2), -(-size[1] // 2))
    torch.testing.assert_close(coarse[..., -1, -1], x[..., -2:, -2:].mean((-2, -1)))


@pytest.mark.parametrize(("factor", "leading"), [(2, (2, 4)), (4, (2, 4, 1))])
def test_upsampling_is_the_scaled_transpose_of_the_mean(factor, leading):
    x = torch.randn(*leading, 16, 24, dtype=torch.float64)
    y = torch.randn(*leading, 16 // factor, 24 // factor, dtype=torch.float64)
    left = (downsample(x, factor) * y).sum()
    right = (x * upsample(y, factor, Size(16, 24))).sum() / factor**2
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("size", [Size(16, 24), Size(15, 23)])
def test_downsampling_undoes_upsampling(size):
    y = torch.randn(1, 2, *downsampled_size(size, 2))
    back = downsample(upsample(y, 2, size), 2)
    rows, columns = size.height // 2, size.width // 2  # whole blocks
    torch.testing.assert_close(back[..., :rows, :columns], y[..., :rows, :columns])


@pytest.mark.parametrize("size", [(64, 64), (63, 65)])
@pytest.mark.parametrize("flow", [False, True])
def test_the_coarse_canvas_has_the_noise_level_that_is_told(size, flow):
    """Everywhere, the overlapping last block of odd sides included."""
    sigma, x0 = 0.8, 0.5
    noise = torch.randn(2000, 1, *size, generator=torch.Generator().manual_seed(0))
    x = (1 - sigma) * x0 + sigma * noise if flow else x0 + sigma * noise
    coarse, told = at_own_noise_level(x, sigma, 2, flow)
    signal = (1 - told) if flow else 1.0
    assert abs(coarse.mean().item() - signal * x0) < 2e-3
    deviation = coarse.std(0)
    torch.testing.assert_close(deviation.mean().item(), told, rtol=5e-3, atol=0)
    torch.testing.assert_close(deviation[..., -1, :].mean().item(), told, rtol=2e-2, atol=0)


def test_a_canvas_below_the_factor_is_refused():
    with pytest.raises(ValueError, match=r"sides must be at least 2 cells, got \(1, 8\)"):
        downsample(torch.zeros(1, 1, 1, 8), 2)


@pytest.mark.parametrize("side", [1, 2, 3, 8])
@pytest.mark.parametrize("to", [2, 3])
def test_enlarged_around_a_loop_it_is_the_middle_of_many_turns(side, to):
    x = torch.rand(1, 2, 5, side, dtype=torch.float64)
    turns = enlarge_bicubic(x.repeat(1, 1, 1, 9), Size(5, 9 * to * side))
    middle = turns[..., 4 * to * side : 5 * to * side]
    torch.testing.assert_close(enlarge_bicubic(x, Size(5, to * side), Wrap(x=True)), middle)

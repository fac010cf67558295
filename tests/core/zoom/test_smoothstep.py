import pytest
import torch
from joint_diffusion.core.zoom.smoothstep import smoothstep


def test_it_rises_from_0_to_1_and_is_flat_at_both_ends():
    t = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    s = smoothstep(t)
    (slope,) = torch.autograd.grad(s.sum(), t)
    assert s[[0, -1]].tolist() == [0, 1]
    assert (s.diff() > 0).all()
    assert slope[[0, -1]].tolist() == [0, 0]
    torch.testing.assert_close(s + s.flip(0), torch.ones_like(s))


def test_numbers_and_tensors_give_the_same():
    assert smoothstep(0.25) == smoothstep(torch.tensor(0.25)).item() == pytest.approx(0.15625)

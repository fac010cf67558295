import pytest
import torch
from joint_diffusion.core.methods.gradient_guidance import gradient


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_gradient_is_there_in_every_mode_and_leaves_x_alone(mode):
    with mode():
        x = torch.randn(2, 3)
        found = gradient(lambda leaf: (leaf**3).sum(), x)
        torch.testing.assert_close(found, 3 * x**2)
    assert not x.requires_grad
    assert not found.requires_grad

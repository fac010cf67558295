"""LPIPS against the package of its authors, on random weights."""

import lpips as reference
import pytest
import torch
from joint_diffusion.core.perception.lpips import Lpips, lpips_shapes
from joint_diffusion.core.perception.vgg import vgg_shapes

# The package calls torchvision as it was called long ago.
pytestmark = pytest.mark.filterwarnings("ignore:The parameter 'pretrained'", "ignore:Arguments other than a weight")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    network = reference.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("lin"):
                weight.abs_()  # as trained ones are
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def weights(theirs) -> dict[str, torch.Tensor]:
    """Theirs, under the names that `Lpips` reads."""
    vgg = [parameter for name, parameter in theirs.named_parameters() if name.startswith("net.")]
    linear = [getattr(theirs, f"lin{block}").model[1].weight for block in range(5)]
    return dict(zip(vgg_shapes(), vgg, strict=True)) | dict(zip(lpips_shapes(), linear, strict=True))


def pictures(count: int, height: int = 40, width: int = 51, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(32, 32), (40, 51), (65, 33)])
def test_distance_and_gradient_are_those_of_the_authors(theirs, weights, size):
    views, anchors = pictures(2, *size).requires_grad_(), pictures(2, *size, seed=1)
    expected = theirs(views, anchors, normalize=True).flatten()
    (expected_gradient,) = torch.autograd.grad(expected.sum(), views)
    found = Lpips(weights)(views, anchors)
    (gradient,) = torch.autograd.grad(found.sum(), views)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert (gradient - expected_gradient).norm() < 1e-5 * expected_gradient.norm()


def test_one_anchor_for_all(weights):
    views, anchor, lpips = pictures(3), pictures(1, seed=1), Lpips(weights)
    one_by_one = torch.cat([lpips(view[None], anchor) for view in views])
    torch.testing.assert_close(lpips(views, anchor), one_by_one)
    features = lpips.features(anchor)
    torch.testing.assert_close(lpips.distance(lpips.features(views), features), one_by_one)


def test_a_picture_is_at_no_distance_from_itself(weights):
    views, lpips = pictures(2), Lpips(weights)
    assert lpips(views, views.clone()).tolist() == [0.0, 0.0]
    assert (lpips(views, views.flip(-1)) > 0).all()


def test_weights_made_where_the_host_makes_them(weights):
    """In inference mode; autograd could not save those for a backward pass."""
    views, anchors = pictures(1), pictures(1, seed=1)
    with torch.inference_mode():
        lpips = Lpips({name: value.clone() for name, value in weights.items()}).to("cpu")
    leaf = views.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(lpips(leaf, anchors).sum(), leaf)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(weights, dtype):
    halves = {name: value.to(dtype) for name, value in weights.items()}
    views, anchors = pictures(1).to(dtype), pictures(1, seed=1).to(dtype)
    found = Lpips(halves)(views, anchors)
    assert found.dtype == torch.float32
    full = Lpips({name: value.float() for name, value in halves.items()})
    assert torch.equal(found, full(views.float(), anchors.float()))


@pytest.mark.parametrize("size", [(31, 64), (64, 16)])
def test_pictures_that_are_too_small_are_refused(weights, size):
    message = rf'at least 32 x 32 pixels, got {size[0]} x {size[1]}; use larger windows, or the loss "latent"'
    with pytest.raises(ValueError, match=message):
        Lpips(weights)(pictures(1, *size), pictures(1, *size))


def test_weights_that_are_missing_are_named(weights):
    linear = {name: value for name, value in weights.items() if name.startswith("lin")}
    message = r"VGG-16: of 26 weights 26 are missing: features\.0\.weight, features\.0\.bias, features\.2\.weight, \.\."
    with pytest.raises(ValueError, match=message):
        Lpips(linear)
    vgg = {name: value for name, value in weights.items() if name not in ("lin3.model.1.weight",)}
    with pytest.raises(ValueError, match=r"LPIPS: of 5 weights 1 are missing: lin3\.model\.1\.weight\."):
        Lpips(vgg)


def test_weights_of_another_network_are_refused(weights):
    alex = weights | {"lin1.model.1.weight": torch.zeros(1, 192, 1, 1)}
    message = (
        r"LPIPS: lin1\.model\.1\.weight must have the shape \(1, 128, 1, 1\), got \(1, 192, 1, 1\).*another network"
    )
    with pytest.raises(ValueError, match=message):
        Lpips(alex)

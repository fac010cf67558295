"""FID, KID and GIQA are the formulas of their papers."""

import pytest
import torch
from joint_diffusion.benchmarks.distances import fid, giqa, kid

SIZE = 64


def test_fid_is_the_formula():
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), the square root by the eigenvalues of a symmetric product."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, SIZE, generator=generator).double() * s + s for n, s in ((300, 1.0), (200, 1.5)))
    covariances = one.T.cov(), other.T.cov()
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    expected = (one.mean(0) - other.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * cross
    assert fid(one.float(), other.float()) == pytest.approx(expected.item(), rel=1e-4)


def test_kid_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(50, SIZE, generator=generator).double() + shift for shift in (0.0, 0.3))

    def kernel(x, y):
        return (x @ y.T / SIZE + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - k.diagonal().sum()) / (50 * 49)

    expected = off_diagonal(kernel(one, one)) + off_diagonal(kernel(other, other)) - 2 * kernel(one, other).mean()
    assert kid(one.float(), other.float()) == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"subsets": 3, "most": 5}])
def test_the_parts_of_the_sets_are_the_same_in_every_run(options):
    one, other = (torch.randn(count, SIZE, generator=torch.Generator().manual_seed(count)) for count in (7, 20))
    found = []
    for run in (1, 2):
        torch.manual_seed(run)
        found.append(kid(one, other, **options))
    assert found[0] == found[1] != kid(one, other, subsets=2)


def test_equal_sets_have_no_distance():
    one = torch.randn(200, SIZE, generator=torch.Generator().manual_seed(0))
    assert fid(one, one) == pytest.approx(0, abs=1e-2)


def test_giqa_is_the_formula():
    truth = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0], [100.0, 0.0]])
    pictures = torch.tensor([[0.0, 1.0], [0.0, -8.0]])
    expected = [(1 / 1 + 1 / 1) / 2, (1 / 8 + 1 / 10) / 2]
    assert giqa(pictures, truth, nearest=2).tolist() == pytest.approx(expected)

"""A loss part by part against the same loss at once."""

import pytest
import torch
from joint_diffusion.core.perception.similarity import distances


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(views: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    return (views.sin() * anchors).flatten(1).sum(1) ** 2


@pytest.mark.parametrize("at_once", [1, 2, 5, 9])
def test_parts_give_what_the_whole_gives(at_once):
    anchors, weights = randn(1, 2, 3, seed=1), randn(5, seed=2)
    views = randn(5, 2, 3).requires_grad_()
    found = distances(lambda part: distance(part, anchors), views, at_once)
    expected = distance(views, anchors)
    torch.testing.assert_close(found, expected)
    gradient, expected_gradient = (torch.autograd.grad((weights * x).sum(), views)[0] for x in (found, expected))
    torch.testing.assert_close(gradient, expected_gradient)


def test_at_most_that_many_views_are_seen_at_once_and_only_their_gradient_is_kept():
    seen = []

    def watched(part: torch.Tensor) -> torch.Tensor:
        seen.append(len(part))
        return distance(part, torch.ones_like(part))

    views = randn(5, 2, 3).requires_grad_()
    result = distances(watched, views, 2)
    assert seen == [2, 2, 1]
    assert [kept.shape for kept in result.grad_fn.saved_tensors] == [views.shape]


def test_no_gradient_is_sought_where_none_is_wanted():
    def without_graph(part: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert not part.requires_grad
        return distance(part, torch.ones_like(part))

    views = randn(3, 2, 2)
    torch.testing.assert_close(distances(without_graph, views, 2), distance(views, torch.ones_like(views)))

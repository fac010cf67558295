"""What is taken apart comes together again, and only the leaves of what the host passes are changed."""

from collections import OrderedDict, defaultdict
from typing import NamedTuple

import pytest
import torch
from joint_diffusion.nodes.host.gradients.nested import changed, put_together, taken_apart


class Pair(NamedTuple):
    one: object
    other: object


class Other:
    def __init__(self):
        self.inside = [1]


OTHER = Other()
VALUES = [
    (3, [3]),
    (None, [None]),
    ([], []),
    ((1, (2, [3, ()]), {"b": 4, "a": {0: 5}}), [1, 2, 3, 4, 5]),
    (Pair([1], Pair(2, None)), [1, 2, None]),
    (OrderedDict(b=1, a=[2]), [1, 2]),
    ([OTHER, torch.Size([1, 2]), "ab", {1, 2}], [OTHER, torch.Size([1, 2]), "ab", {1, 2}]),
]


@pytest.mark.parametrize(("value", "leaves"), VALUES)
def test_what_is_taken_apart_comes_together_again(value, leaves):
    found, shape = taken_apart(value)
    assert found == leaves
    whole = put_together(found, shape)
    assert whole == value
    assert type(whole) is type(value)
    assert taken_apart(put_together(range(len(leaves)), shape))[0] == [*range(len(leaves))]


def test_the_shape_keeps_no_leaf_alive():
    assert taken_apart({"a": [torch.ones(2)], "b": (1,)})[1] == {"a": [None], "b": (None,)}


def test_the_value_itself_stays_and_only_its_own_places_change():
    inner, value = [1, 2], defaultdict(list, a=1)
    value["b"] = inner
    doubled = changed(value, lambda leaf: 2 * leaf)
    assert (value["a"], inner) == (1, [1, 2])
    assert doubled == {"a": 2, "b": [2, 4]}
    assert doubled["missing"] == []


def test_other_objects_are_passed_on_as_they_are():
    seen = []
    assert changed([OTHER], lambda leaf: seen.append(leaf) or leaf)[0] is OTHER
    assert seen == [OTHER]

import uuid
from fractions import Fraction
from unittest.mock import Mock

import pytest
import torch
from joint_diffusion.core.workers import parcel
from joint_diffusion.core.workers.parcel import CannotBeSent, Stowage, Unpacker, light, require_sendable

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4), (1, 2, 3, 4, 5)], ids=str)
def test_a_tensor_comes_as_it_was_bit_for_bit(dtype, shape):
    tensor = (random(*shape) * 3).to(dtype)
    for lasting, passing in [(tensor, None), (None, tensor)]:
        got = Unpacker().unpack(Stowage().pack("w", lasting, passing))
        one = got[0] if lasting is not None else got[1]
        assert (one.dtype, one.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(one, tensor)


def test_views_that_are_not_contiguous_or_of_inference_mode():
    with torch.inference_mode():
        part = random(4, 6).T[1:5:2]
    assert torch.equal(Unpacker().unpack(Stowage().pack("w", part))[0], part)


def test_nested_values_come_as_they_were():
    value = {"a": [1, 2.5, None, True, "x", (1, (2, b"y"))], ("middle", 0): uuid.uuid4(), "t": torch.float16}
    value["size"] = torch.Size([1, 2])
    assert Unpacker().unpack(Stowage().pack("w", value))[0] == value


def test_what_a_worker_has_is_not_sent_again_even_as_another_tensor_of_the_same_numbers():
    stowage, unpacker, prompt = Stowage(), Unpacker(), random(77, 768)
    parcels = [stowage.pack("w", {"prompt": prompt.clone()}, random(2, 2, seed=n)) for n in range(3)]
    assert len(parcels[0]) > prompt.nbytes > 50 * len(parcels[1])
    for number, one in enumerate(parcels):
        lasting, passing = unpacker.unpack(one)
        assert torch.equal(lasting["prompt"], prompt)
        assert torch.equal(passing, random(2, 2, seed=number))


def test_each_worker_is_sent_it_and_one_that_comes_anew_once_more():
    stowage, prompt = Stowage(), random(100, 100)
    first, second = stowage.pack("w", prompt), stowage.pack("v", prompt)
    assert min(len(first), len(second)) > prompt.nbytes
    stowage.forget("w")
    assert torch.equal(Unpacker().unpack(stowage.pack("w", prompt))[0], prompt)


def test_a_tensor_that_was_changed_in_place_in_a_copy_is_another():
    stowage, unpacker = Stowage(), Unpacker()
    for number in range(3):
        tensor = torch.full((4,), float(number))
        assert torch.equal(unpacker.unpack(stowage.pack("w", tensor))[0], tensor)
        del tensor  # and the next one may lie at the same place


@pytest.mark.parametrize(("shape", "dtype"), [((2, 8), torch.float32), ((16,), torch.float32), ((16,), torch.int32)])
def test_shape_and_type_belong_to_a_tensor_even_if_its_bytes_are_those_of_another(shape, dtype):
    stowage, unpacker = Stowage(), Unpacker()
    unpacker.unpack(stowage.pack("w", torch.zeros(4, 4)))
    got = unpacker.unpack(stowage.pack("w", torch.zeros(shape, dtype=dtype)))[0]
    assert (got.shape, got.dtype) == (torch.Size(shape), dtype)


def test_a_worker_keeps_only_so_much(monkeypatch):
    monkeypatch.setattr(parcel, "MOST_KEPT", 1000)
    stowage, unpacker = Stowage(), Unpacker()
    for number in [*range(10), *range(10)]:
        tensor = random(100, seed=number)
        assert torch.equal(unpacker.unpack(stowage.pack("w", tensor))[0], tensor)
        assert sum(kept.nbytes for kept in unpacker._kept.values()) <= 1000


def test_what_one_parcel_wants_is_kept_even_if_it_is_more(monkeypatch):
    monkeypatch.setattr(parcel, "MOST_KEPT", 1000)
    stowage, unpacker = Stowage(), Unpacker()
    tensors = [random(150, seed=number) for number in range(3)]
    for wanted in (tensors[:1], tensors, tensors[:1]):
        got, _ = unpacker.unpack(stowage.pack("w", wanted))
        assert all(map(torch.equal, got, wanted))
    assert sum(kept.nbytes for kept in unpacker._kept.values()) <= 1000


def test_where_memory_runs_out_the_next_parcel_may_still_name_what_came(monkeypatch):
    stowage, unpacker, prompt, to = Stowage(), Unpacker(), random(100), torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", Mock(side_effect=torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        unpacker.unpack(stowage.pack("w", prompt))
    monkeypatch.setattr(torch.Tensor, "to", to)
    again = stowage.pack("w", prompt)
    assert len(again) < prompt.nbytes
    assert torch.equal(unpacker.unpack(again)[0], prompt)


class Patch:
    pass


def test_what_was_refused_is_not_taken_for_sent():
    stowage, prompt = Stowage(), random(3)
    with pytest.raises(CannotBeSent):
        stowage.pack("w", [prompt, Patch()])
    with pytest.raises(CannotBeSent):
        stowage.pack("w", prompt, Patch())
    assert torch.equal(Unpacker().unpack(stowage.pack("w", prompt))[0], prompt)


@pytest.mark.parametrize("thing", [Patch(), lambda: None, Patch, Fraction(1, 2), torch.nn.Linear(1, 1)])
def test_what_lives_in_this_process_only_is_refused_and_named(thing):
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    with pytest.raises(CannotBeSent, match=name):
        Stowage().pack("w", {"deep": [thing]})
    with pytest.raises(CannotBeSent, match=name):
        require_sendable([thing])


def test_a_module_that_is_allowed():
    half = Fraction(1, 2)
    require_sendable({"half": half}, ["fractions"])
    assert Unpacker().unpack(Stowage(["fractions"]).pack("w", half))[0] == half


def test_half_precision_only_where_it_holds_all_numbers():
    small, large = random(3, 3), torch.tensor([1.0, 1e6])
    assert light(small).dtype == torch.float16
    assert torch.equal(light(large), large)
    torch.testing.assert_close(light(small).float(), small, rtol=2**-11, atol=1e-7)

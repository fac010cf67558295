import pytest
import torch
from joint_diffusion.core.windows import Size, Window
from joint_diffusion.core.zoom_geometry import levels_nesting, nesting

SIZES = [Size(16, 16), Size(17, 23), Size(12, 31), Size(5, 7)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("p", [2, 3, 4, 5])
def test_the_inner_block_is_p_times_the_outer_one_and_both_are_central(size, p):
    outer, inner = nesting(size, p)
    assert inner[2:] == (p * outer.height, p * outer.width)
    for block in (outer, inner):
        for start, length, side in zip(block[:2], block[2:], size, strict=True):
            assert start >= 0 and 0 <= side - length - 2 * start <= 1
    for side, length in zip(size, inner[2:], strict=True):
        assert 0 <= side - length < p


def test_convention_blocks_lean_up_and_left():
    assert nesting(Size(16, 16), 2) == (Window(4, 4, 8, 8), Window(0, 0, 16, 16))
    assert nesting(Size(7, 8), 2) == (Window(2, 2, 3, 4), Window(0, 0, 6, 8))
    assert nesting(Size(9, 11), 4) == (Window(3, 4, 2, 2), Window(0, 1, 8, 8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("p", [2, 3, 5])
def test_pixels_nest_as_the_latents_do(size, p):
    latent, pixels = nesting(size, p), nesting(Size(8 * size.height, 8 * size.width), p, unit=8)
    assert pixels == tuple(tuple(8 * number for number in block) for block in latent)


def test_without_the_unit_pixels_would_nest_otherwise():
    assert nesting(Size(56, 56), 2).outer != nesting(Size(56, 56), 2, unit=8).outer


@pytest.mark.parametrize(
    ("size", "p", "unit", "message"),
    [
        (Size(8, 8), 1, 1, r"p: the zoom factor between levels must be at least 2, got 1"),
        (Size(8, 8), 2, 0, r"unit: must be at least 1 cell, got 0"),
        (Size(3, 8), 4, 1, r"height: a level must be at least p = 4 times 1 cells, got 3"),
        (Size(16, 8), 2, 8, r"width: a level must be at least p = 2 times 8 cells, got 8; choose a larger level"),
        (Size(16, 20), 2, 8, r"width: must be a multiple of 8, got 20; 16 is the next below"),
    ],
)
def test_what_cannot_nest_is_refused(size, p, unit, message):
    with pytest.raises(ValueError, match=message):
        nesting(size, p, unit)


def test_one_level_is_no_stack():
    assert levels_nesting(torch.zeros(2, 3, 1, 8, 9), 2) == nesting(Size(8, 9), 2)
    with pytest.raises(ValueError, match=r"levels: a zoom stack has at least 2 levels, got 1; add a prompt"):
        levels_nesting(torch.zeros(1, 3, 8, 9), 2)

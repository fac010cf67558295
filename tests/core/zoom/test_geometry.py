from fractions import Fraction
from math import ceil, floor

import pytest
import torch
from joint_diffusion.core.canvas.windows import Size, Window
from joint_diffusion.core.zoom.geometry import footprints, levels_nesting, nesting

SIZES = [Size(16, 16), Size(17, 23), Size(12, 31), Size(5, 7)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zoom_factor", [2, 5])
def test_the_inner_block_is_p_times_the_outer_one_and_both_are_central(size, zoom_factor):
    outer, inner = nesting(size, zoom_factor)
    assert inner[2:] == (zoom_factor * outer.height, zoom_factor * outer.width)
    for block in (outer, inner):
        for start, length, side in zip(block[:2], block[2:], size, strict=True):
            assert start >= 0
            assert 0 <= side - length - 2 * start <= 1
    for side, length in zip(size, inner[2:], strict=True):
        assert 0 <= side - length < zoom_factor


def test_convention_blocks_lean_up_and_left():
    assert nesting(Size(16, 16), 2) == (Window(4, 4, 8, 8), Window(0, 0, 16, 16))
    assert nesting(Size(7, 8), 2) == (Window(2, 2, 3, 4), Window(0, 0, 6, 8))
    assert nesting(Size(9, 11), 4) == (Window(3, 4, 2, 2), Window(0, 1, 8, 8))


@pytest.mark.parametrize(("size", "zoom_factor"), [*zip(SIZES, [2, 3, 5, 2], strict=True)])
def test_pixels_nest_as_the_latents_do(size, zoom_factor):
    latent, pixels = (
        nesting(size, zoom_factor),
        nesting(Size(8 * size.height, 8 * size.width), zoom_factor, pixels_per_cell=8),
    )
    assert pixels == tuple(tuple(8 * number for number in block) for block in latent)


def test_without_the_unit_pixels_would_nest_otherwise():
    assert nesting(Size(56, 56), 2).outer != nesting(Size(56, 56), 2, pixels_per_cell=8).outer


@pytest.mark.parametrize(
    ("size", "zoom_factor", "pixels_per_cell", "message"),
    [
        (Size(8, 8), 1, 1, r"zoom_factor: must be at least 2, got 1"),
        (Size(8, 8), 2, 0, r"pixels_per_cell: must be at least 1 cell, got 0"),
        (Size(3, 8), 4, 1, r"height: a level must be at least zoom_factor = 4 times 1 cells, got 3"),
        (
            Size(16, 8),
            2,
            8,
            r"width: a level must be at least zoom_factor = 2 times 8 cells, got 8; choose a larger level",
        ),
        (Size(16, 20), 2, 8, r"width: must be a multiple of 8, got 20; 16 is the next below"),
    ],
)
def test_what_cannot_nest_is_refused(size, zoom_factor, pixels_per_cell, message):
    with pytest.raises(ValueError, match=message):
        nesting(size, zoom_factor, pixels_per_cell)


def test_one_level_is_no_stack():
    assert levels_nesting(torch.zeros(2, 3, 1, 8, 9), 2) == nesting(Size(8, 9), 2)
    with pytest.raises(ValueError, match=r"levels: a zoom stack has at least 2 levels, got 1; add a prompt"):
        levels_nesting(torch.zeros(1, 3, 8, 9), 2)


def covered(axis, base, zoom_factor, steps):
    """Exact ends of what a level's whole blocks cover `steps` levels further out, and the affine map to there."""
    start, end = Fraction(base.outer[axis]), Fraction(base.outer[axis] + base.outer[axis + 2])
    for _ in range(steps - 1):
        start, end = (base.outer[axis] + (edge - base.inner[axis]) / zoom_factor for edge in (start, end))
    return start, end


@pytest.mark.parametrize(
    ("size", "zoom_factor"),
    [
        (Size(17, 23), 2),
        (Size(5, 7), 3),
        (Size(104, 152), 2),
        (Size(104, 152), 3),
        (Size(64, 96), 3),
        (Size(64, 96), 4),
    ],
)
def test_footprints_hold_the_whole_cells_inside_a_level(size, zoom_factor):
    base, found = nesting(size, zoom_factor), footprints(size, zoom_factor)
    assert found[0] == base
    for k, step in enumerate(found[1:], 1):
        outside = found[k - 1].outer
        for axis in (0, 1):
            # Cells of this level that lie wholly within the cells of the level before.
            edges = [Fraction(outside[axis]), Fraction(outside[axis] + outside[axis + 2])]
            start, end = (base.outer[axis] + (edge - base.inner[axis]) / zoom_factor for edge in edges)
            assert step.outer[axis] == ceil(start)
            assert step.outer[axis] + step.outer[axis + 2] == floor(end)
            true_start, true_end = covered(axis, base, zoom_factor, k + 1)
            assert true_start <= step.outer[axis]
            assert step.outer[axis] + step.outer[axis + 2] <= true_end
            # The inner block is the same cells, counted from the start of the cells of the step before.
            assert (
                base.inner[axis] + zoom_factor * (step.outer[axis] - base.outer[axis]) - outside[axis]
                == step.inner[axis]
            )
            assert step.inner[axis] >= 0
            assert step.inner[axis] + step.inner[axis + 2] <= outside[axis + 2]
            assert step.inner[axis + 2] == zoom_factor * step.outer[axis + 2]


def test_footprints_end_below_one_cell():
    assert [step.outer for step in footprints(Size(16, 16), 2)] == [
        (4, 4, 8, 8),
        (6, 6, 4, 4),
        (7, 7, 2, 2),  # then one cell that would start in the middle of another
    ]
    assert [step.outer for step in footprints(Size(12, 12), 2)] == [(3, 3, 6, 6), (5, 5, 2, 2)]
    assert len(footprints(Size(1024, 1024), 2)) == 9

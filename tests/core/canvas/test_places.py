"""Places: their shares add up to 1 everywhere, meet across edges that wrap, and end where they should."""

import pytest
import torch
from joint_diffusion.core.canvas.places import shares
from joint_diffusion.core.canvas.windows import Size, Wrap

CANVAS = Size(24, 60)


def share_by_hand(cell, number, count, cells, border, wraps):
    """The indicator of a place, averaged over the slope of a smoothstep as wide as the border: 6 t (1 - t)."""
    total, parts = 0.0, 4000
    for part in range(parts):
        t = (part + 0.5) / parts
        at = cell + 0.5 + (t - 0.5) * border
        at = at % cells if wraps else min(max(at, 0.0), cells - 1e-9)
        total += 6 * t * (1 - t) / parts * (int(at * count / cells) == number)
    return total


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("border", [0.5, 7.0, 30.0, 150.0])
def test_a_share_is_its_place_seen_through_a_soft_window(border, wraps):
    found = shares(Size(1, 30), 1, 4, (1.0, border), Wrap(x=wraps))[:, 0]
    expected = [[share_by_hand(cell, number, 4, 30, border, wraps) for cell in range(30)] for number in range(4)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True), Wrap(y=True), Wrap(y=True, x=True)])
@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (1, 50), (3, 7), (24, 60)])
@pytest.mark.parametrize("border", [0.1, 1.0, 16.0, 500.0])
def test_shares_add_up_to_one(grid, border, wrap):
    found = shares(CANVAS, *grid, (border, border), wrap)
    assert found.shape == (grid[0] * grid[1], *CANVAS)
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(0), torch.ones(CANVAS), rtol=0, atol=1e-6)


def test_the_last_and_the_first_meet_only_with_wrap():
    around, strip = (shares(CANVAS, 1, 3, (8, 8), Wrap(x=wraps))[:, 0] for wraps in (True, False))
    torch.testing.assert_close(around[0, 0], around[2, 59])
    torch.testing.assert_close(around[0, 0] + around[2, 0], torch.tensor(1.0))
    assert 0.4 < around[2, 0] < 0.5
    torch.testing.assert_close(around.roll(20, 1).roll(1, 0), around)  # all borders are alike
    assert strip[0, 0] == strip[2, 59] == 1
    assert strip[2, 0] == strip[0, 59] == 0


def test_a_share_is_zero_beyond_half_a_border_and_one_inside():
    """So a prompt is not run in windows that it does not reach."""
    found = shares(CANVAS, 1, 3, (8, 8))[1, 0]
    assert found.nonzero().squeeze().tolist() == list(range(16, 44))
    assert (found == 1).nonzero().squeeze().tolist() == list(range(24, 36))


def test_a_grid_is_row_by_row():
    found = shares(CANVAS, 2, 3, (1, 1))
    for number, share in enumerate(found):
        row, column = divmod(number, 3)
        assert share[12 * row + 6, 20 * column + 10] == 1
    assert torch.equal(shares(CANVAS, 2, 3, (4, 9)).view(2, 3, *CANVAS)[0].sum(0), shares(CANVAS, 2, 1, (4, 9))[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, (8, 8)), r"rows: must be in 1\.\.24, as the canvas has 24 latent cells .*got 0; use fewer prompts"),
        ((1, 61, (8, 8)), r"columns: must be in 1\.\.60, .*got 61; use fewer prompts, or a larger canvas"),
        ((1, 3, (8, 0)), r"border: must be above 0 latent cells, got 0"),
        ((1, 3, (-1, 8)), r"border: must be above 0 latent cells, got -1"),
    ],
)
def test_wrong_places(arguments, message):
    with pytest.raises(ValueError, match=message):
        shares(CANVAS, *arguments)


def test_a_canvas_of_no_width():
    with pytest.raises(ValueError, match=r"columns: must be in 1\.\.0, as the canvas has 0 latent cells"):
        shares(Size(16, 0), 1, 1, (8, 8))

"""The town: houses side by side, exact edges, and what is in walls and roofs."""

from itertools import pairwise

import numpy as np
import pytest
from both_worlds import TOWN
from joint_diffusion.benchmarks.town.houses import border, houses
from joint_diffusion.benchmarks.town.palette import LAYERS, THINGS, TOWNS, palette
from joint_diffusion.benchmarks.town.scene import GROUND, ROOFS, SKY, STREET, WALLS, Scene, render
from joint_diffusion.benchmarks.town.shapes import line, soft_edge, span
from joint_diffusion.demo.palette import HOURS

WINDOW, DOOR = 1 + THINGS.index("windows"), 1 + THINGS.index("doors")


def test_pixels_are_covered_by_as_much_as_lies_in_them():
    pixel = 0.25
    at = (np.arange(40) + 0.5) * pixel
    for low, high in ((1.0, 2.0), (1.1, 1.15), (3.07, 7.9)):
        cover = span(at, low, high, pixel)
        assert cover.sum() * pixel == pytest.approx(high - low)
        assert (cover[(at < low - pixel) | (at > high + pixel)] == 0).all()
    assert line(at - 5.03, 0.4, pixel).sum() * pixel == pytest.approx(0.4)
    assert soft_edge(np.array([-1.0, 0.0, 1.0]), pixel).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("town", TOWNS)
def test_houses_stand_side_by_side_without_end(town):
    for start in (-40.0, 0.0, 5e5):
        row = list(houses(start, start + 8, town, seed=3))
        assert len(row) > 15
        assert row[0].left <= start
        assert row[-1].left + row[-1].width >= start + 8
        for house, following in pairwise(row):
            assert house.left + house.width == pytest.approx(following.left)
            assert 0.1 < house.width < 0.6
    assert len({house.width for house in houses(0, 8, town, seed=3)}) > 15
    assert border(7, 3) != border(7, 4)


def test_a_house_is_the_same_whatever_else_is_shown():
    alone, among = (list(houses(*part, "old", seed=3)) for part in ((2.0, 2.01), (0.0, 4.0)))
    assert alone[0] in among


@pytest.mark.parametrize("town", TOWNS)
def test_roofs_end_above_walls_and_the_sky_is_above_all(town):
    for house in houses(0, 30, town, seed=8):
        x = np.linspace(0, house.width * 0.999999, 50)
        assert (house.wall_top(x) >= house.eaves - 1e-9).all()
        assert (house.ridge(x) > house.wall_top(x)).all()
        assert (house.roof_top(x) >= house.ridge(x)).all()
        assert house.roof_top(x).max() < GROUND - 0.1


def test_all_kinds_of_houses_are_built():
    kinds = {(town, house.wall) for town in TOWNS for house in houses(0, 40, town, seed=1)}
    assert len(kinds) == 7
    assert {house.roof for town in TOWNS for house in houses(0, 40, town, seed=1)} == {
        "gable", "steps", "pitched", "mansard", "flat",
    }  # fmt: skip


def test_windows_are_in_walls_and_dormers_and_doors_reach_the_street():
    truth = render(Scene(seed=2), 512, 1024, zoom=4.0, centre=(5.0, 0.5))
    assert set(truth.layers[truth.things == WINDOW]) <= {ROOFS, WALLS}
    assert set(truth.layers[truth.things == DOOR]) == {WALLS}
    assert (truth.things[truth.layers == WALLS] == WINDOW).mean() > 0.1
    columns = (truth.things == DOOR).any(0)
    foot = (truth.layers == STREET).argmax(0) - 1
    assert (truth.things[foot[columns], np.flatnonzero(columns)] == DOOR).all()


def test_a_pixel_half_of_which_is_in_a_higher_house_has_half_its_colour():
    scene, row = Scene(seed=2, clouds=False), list(houses(0, 12, "harbour", seed=2))
    sides = [(b.left, float(a.roof_top(a.width * 0.9999)), float(b.roof_top(np.array(0.0)))) for a, b in pairwise(row)]
    x, left, right = max(sides, key=lambda side: abs(side[1] - side[2]))
    y = GROUND - (left + right) / 2
    one, half, other = (render(scene, 1, 1, centre=(x + off / 128, y)).image[0, 0] for off in (-0.4999, 0.0, 0.4999))
    assert np.abs(one - other).max() > 0.2  # sky and wall
    np.testing.assert_allclose(half, (one + other) / 2, atol=0.03)


def test_far_pixels_are_the_mean_of_near_ones():
    """Edges are exact, so a picture four times as large, made small again, is the same but for the finer details."""
    scene = Scene(seed=5, clouds=False)
    far = render(scene, 128, 128, zoom=1.0, centre=(2.0, 0.5)).image
    near = render(scene, 512, 512, zoom=4.0, centre=(2.0, 0.5)).image
    apart = np.abs(near.reshape(128, 4, 128, 4, 3).mean((1, 3)) - far)
    assert apart.mean() < 0.02
    assert np.quantile(apart, 0.99) < 0.15


def test_lamps_are_lit_at_night_and_not_by_day():
    day, night = (render(Scene(seed=5, hour=hour), 256, 512, zoom=2.0) for hour in ("day", "night"))
    panes = day.things == WINDOW
    warm = lambda image: image[..., 0] - image[..., 2]  # noqa: E731
    lit = (warm(night.image)[panes] > 0.25).mean()
    assert 0.1 < lit < 0.7
    assert (warm(day.image)[panes] > 0.25).mean() < 0.02
    assert (warm(night.image)[(night.layers == WALLS) & (night.things == 0)] > 0.25).mean() < 0.05


def test_palettes_keep_their_layers_apart():
    for town in TOWNS:
        for hour in HOURS:
            p = palette(town, hour)
            ground = np.stack([p.roofs, *p.walls, p.road])
            distance = np.linalg.norm(ground[:, None] - ground[None], axis=-1)
            walls = slice(1, 1 + len(p.walls))
            assert min(distance[0, walls].min(), distance[-1, walls].min(), distance[0, -1]) > 0.03, (town, hour)


def test_the_layers_have_their_numbers():
    assert TOWN.layers == LAYERS
    assert tuple(map(LAYERS.index, ("sky", "roofs", "walls", "street"))) == (SKY, ROOFS, WALLS, STREET)

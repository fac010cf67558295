import pytest
import torch
from joint_diffusion.demo.layer_colours import classify
from joint_diffusion.demo.metrics import (
    column_runs,
    order_violations_per_column,
    palette_deviation,
    palette_distance,
    seam_energy,
)
from joint_diffusion.demo.world import Scene, render

PALETTES = [("summer", "day"), ("autumn", "dusk"), ("spring", "dawn")]


def picture(season="summer", hour="day", *, seed=21, zoom=1.0, width=256):
    drawn = render(Scene(seed=seed, season=season, hour=hour), int(128 * zoom), width, zoom=zoom, centre=(5.0, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1)[None], torch.from_numpy(drawn.layers)


@pytest.mark.parametrize(("season", "hour"), PALETTES)
def test_colours_give_the_true_layers(season, hour):
    image, layers = picture(season, hour)
    truth = layers[2::4, 2::4]
    assert (classify(image, f"{season} {hour}")[0] == truth).float().mean() > 0.93


@pytest.mark.parametrize("prompt_is_known", [True, False])
@pytest.mark.parametrize(("season", "hour"), PALETTES)
def test_true_renders_are_in_order_and_broken_ones_are_not(season, hour, prompt_is_known):
    prompt = f"{season} {hour}" if prompt_is_known else ""
    image, _ = picture(season, hour, zoom=2.0)
    stacked = torch.cat([image[:, :, ::2, ::2]] * 2, dim=2)
    upside_down = image.flip(2)
    trio = torch.cat([image[..., :128], stacked, upside_down[..., :128]])
    true, twice, flipped = order_violations_per_column(trio, prompt)
    assert true < 0.1
    assert 0.9 < twice < 1.3
    assert flipped > 2


def test_short_runs_do_not_count():
    assert column_runs([0, 0, 0, 4, 0, 0, 0, 1, 1, 1], shortest=3) == [0, 1]
    assert column_runs([0, 0, 0, 4, 4, 4, 0, 0, 0], shortest=3) == [0, 4, 0]


def test_a_seam_shows_where_it_is_and_only_there():
    image, _ = picture()
    broken = image.clone()
    broken[..., 128:] = image[..., :128]
    clean = seam_energy(image, columns=[128])
    assert 0.5 < clean < 1.6
    assert seam_energy(broken, columns=[128]) > 1.5 * clean
    assert seam_energy(broken, columns=[64]) == seam_energy(image, columns=[64])
    with pytest.raises(ValueError, match="columns: a border must lie inside the image, 1..255, got 256"):
        seam_energy(image, columns=[256])


def test_palette_distance_grows_with_a_change_of_palette():
    day, _ = picture(width=512)
    dusk, _ = picture("autumn", "dusk", width=512)
    mixed = torch.cat([day[..., :256], dusk[..., 256:]], dim=3)
    assert palette_distance(day) < 0.08
    assert palette_distance(mixed) > 3 * palette_distance(day)
    assert palette_distance(day[..., :256]) == 0


def test_palette_deviation_is_least_for_the_right_prompt():
    image, _ = picture("autumn", "day")
    right = palette_deviation(image, "autumn day")
    assert right < 2
    for wrong in ("winter day", "autumn night", "spring dusk"):
        assert palette_deviation(image, wrong) > 1.5 * right
    assert palette_deviation(image, "") <= right

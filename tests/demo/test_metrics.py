import pytest
import torch
from both_worlds import LANDSCAPES, TOWN
from joint_diffusion.core.canvas.windows import Size, canvas_size, plan_windows
from joint_diffusion.core.measure.coherence import pairs_apart, palette_distance, style_distance
from joint_diffusion.core.measure.seams import Borders, seam_energy
from joint_diffusion.demo.layer_colours import classify
from joint_diffusion.demo.metrics import (
    column_runs,
    grid_energy,
    order_violations_per_column,
    palette_deviation,
    window_deviation,
    zoom_inconsistency,
)
from joint_diffusion.demo.world import Scene, render

PALETTES = [
    *((LANDSCAPES, *words) for words in (("summer", "day"), ("autumn", "dusk"), ("spring", "dawn"))),
    *((TOWN, *words) for words in (("harbour", "day"), ("old", "dusk"), ("northern", "dawn"), ("southern", "day"))),
]
EACH = pytest.mark.parametrize(("world", "kind", "hour"), PALETTES, ids=lambda part: str(getattr(part, "name", part)))


def picture(kind="summer", hour="day", *, world=LANDSCAPES, seed=21, zoom=1.0, width=256):
    scene = world.scene(seed=seed, **dict(zip(world.palette, (kind, hour), strict=True)))
    drawn = world.render(scene, int(128 * zoom), width, zoom=zoom, centre=(5.0, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1)[None], torch.from_numpy(drawn.layers)


@EACH
def test_colours_give_the_true_layers(world, kind, hour):
    image, layers = picture(kind, hour, world=world)
    truth = layers[2::4, 2::4]
    assert (classify(image, f"{kind} {hour}", world)[0] == truth).float().mean() > 0.93


@pytest.mark.parametrize("prompt_is_known", [True, False])
@EACH
def test_true_renders_are_in_order_and_broken_ones_are_not(world, kind, hour, prompt_is_known):
    prompt = f"{kind} {hour}" if prompt_is_known else ""
    image, _ = picture(kind, hour, world=world, zoom=2.0)
    stacked = torch.cat([image[:, :, ::2, ::2]] * 2, dim=2)
    upside_down = image.flip(2)
    trio = torch.cat([image[..., :128], stacked, upside_down[..., :128]])
    true, twice, flipped = order_violations_per_column(trio, prompt, world)
    assert true < 0.1
    assert 0.9 < twice < 1.3
    assert flipped > 2


def test_short_runs_do_not_count():
    assert column_runs([0, 0, 0, 4, 0, 0, 0, 1, 1, 1], shortest=3) == [0, 1]
    assert column_runs([0, 0, 0, 4, 4, 4, 0, 0, 0], shortest=3) == [0, 4, 0]


def coherence(image, measure):
    """Between those of its native windows, side by side, that do not touch."""
    canvas = canvas_size(image)
    return measure(image, pairs_apart(plan_windows(canvas, Size(128, 128), Size(128, 128)), canvas))


def test_a_seam_in_the_world_shows_where_it_is_and_only_there():
    image, _ = picture()
    broken = image.clone()
    broken[..., 128:] = image[..., :128]
    clean = seam_energy(image, Borders(columns=[128]))
    assert 0.5 < clean < 1.6
    assert seam_energy(broken, Borders(columns=[128])) > 1.5 * clean
    assert seam_energy(broken, Borders(columns=[64])) == seam_energy(image, Borders(columns=[64]))


def test_palette_distance_grows_with_a_change_of_palette():
    day, _ = picture(width=512)
    dusk, _ = picture("autumn", "dusk", width=512)
    mixed = torch.cat([day[..., :256], dusk[..., 256:]], dim=3)
    assert coherence(day, palette_distance) < 0.08
    assert coherence(mixed, palette_distance) > 3 * coherence(day, palette_distance)


def test_style_distance_grows_with_a_change_of_texture_and_not_of_palette():
    image, _ = picture(width=512)
    smooth = torch.nn.functional.avg_pool2d(image, 5, stride=1, padding=2)
    mixed = torch.cat([image[..., :256], smooth[..., 256:]], dim=3)
    assert coherence(mixed, style_distance) > 2 * coherence(image, style_distance)
    tinted = torch.cat([image[..., :256], image[..., 256:] + 0.1], dim=3)
    assert coherence(tinted, style_distance) < 1.05 * coherence(image, style_distance)
    assert coherence(tinted, palette_distance) > 2 * coherence(image, palette_distance)


def test_windows_may_each_have_a_palette_of_their_own():
    day, _ = picture(width=128)
    dusk, _ = picture("autumn", "dusk", width=128)
    mixed = torch.cat([day, dusk], dim=3)
    alone = (palette_deviation(day, "") + palette_deviation(dusk, "")) / 2
    torch.testing.assert_close(window_deviation(mixed, ""), alone)
    assert palette_deviation(mixed, "") > 1.5 * alone
    tall = torch.cat([mixed, mixed.flip(3)], dim=2)
    both = torch.cat([tall, torch.cat([day] * 2, dim=3).repeat(1, 1, 2, 1)])
    torch.testing.assert_close(window_deviation(both, ""), torch.cat([alone, palette_deviation(day, "")]))


@pytest.mark.parametrize(
    ("world", "right", "wrong"),
    [
        (LANDSCAPES, "autumn day", ("winter day", "autumn night", "spring dusk")),
        (TOWN, "harbour day", ("northern day", "harbour night", "old dusk")),
    ],
    ids=["landscapes", "town"],
)
def test_palette_deviation_is_least_for_the_right_prompt(world, right, wrong):
    image, _ = picture(*right.split(), world=world)
    least = palette_deviation(image, right, world)
    assert least < 2
    for other in wrong:
        assert palette_deviation(image, other, world) > 1.5 * least
    assert palette_deviation(image, "", world) <= least


@pytest.fixture
def noise():
    return torch.rand(3, 3, 256, 384, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("period", [8, 16])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_white_noise_has_no_grid(noise, period, axis):
    assert grid_energy(noise, period, axis) == pytest.approx([1.0] * 3, rel=0.2)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_printed_grid_shows_at_its_period_along_its_axis(noise, axis):
    """Lines eight pixels apart are of period 8, and not of 16."""
    along, across = (noise.shape[3], "y") if axis == "x" else (noise.shape[2], "x")
    lines = 0.4 * (torch.arange(along) % 8 == 0)
    printed = 0.4 * noise + (lines if axis == "x" else lines[:, None])
    assert (grid_energy(printed, 8, axis) > 10).all()
    assert grid_energy(printed, 8, across) == pytest.approx([1.0] * 3, rel=0.2)
    assert grid_energy(printed, 16, axis) == pytest.approx([1.0] * 3, rel=0.2)


def test_a_flat_picture_has_nothing_beside_a_noisy_one(noise):
    both = torch.cat([noise[:1], torch.full_like(noise[:1], 0.5)])
    assert grid_energy(both, 8, "x").tolist() == pytest.approx([1.0, 0.0], abs=0.2)


def test_a_picture_of_few_periods_is_refused(noise):
    with pytest.raises(ValueError, match="9 periods, got 128 pixels for a period of 16"):
        grid_energy(noise[..., :128], 16, "x")


def test_levels_of_one_world_agree_and_those_of_two_do_not():
    def level(seed, zoom):
        # y = 0.5 lies between two pixels, as the centre of an even picture does: the levels share their centre.
        image = render(Scene(seed=seed, season="autumn"), 128, 128, zoom=zoom, centre=(2.0, 0.5)).image
        return torch.from_numpy(image).permute(2, 0, 1)

    same = torch.stack([level(1, 1.0), level(1, 2.0), level(1, 4.0)])
    other = torch.stack([level(1, 1.0), level(2, 2.0), level(3, 4.0)])
    assert zoom_inconsistency(same, 2).shape == (2,)
    assert (zoom_inconsistency(same, 2) < 0.6 * zoom_inconsistency(other, 2)).all()
    enlarged = same[:1, :, 32:96, 32:96].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert zoom_inconsistency(torch.cat([same[:1], enlarged]), 2) < 1e-6
    with pytest.raises(ValueError, match="multiples of 2 p = 6, got 128 x 128"):
        zoom_inconsistency(same, 3)

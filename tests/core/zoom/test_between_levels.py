"""Continuous zoom: equal to the levels at whole zooms, to a literal loop between them, without pops or lines."""

import math

import oracles
import pytest
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.powers_of_ten import render_image
from joint_diffusion.core.zoom.between_levels import borders, level_span, render_at, render_frames, zoom_centre
from joint_diffusion.core.zoom.geometry import nesting
from torch.testing import assert_close

SIZES = [(24, 24), (17, 30)]


def noise(count, height, width, dtype=torch.float64):
    return torch.rand(count, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "zoom_factor", "zoom"),
    [(SIZES[0], 2, zoom) for zoom in (0.0, 0.4, 0.97)] + [(SIZES[1], 3, zoom) for zoom in (0.01, 0.5, 1.0, 1.6)],
)
def test_it_is_the_literal_loop(size, zoom_factor, zoom):
    levels = noise(3, *size)
    (outer, inner), frame = nesting(Size(*size), zoom_factor), Size(13, 21)
    expected = oracles.zoom_frame(levels, zoom, zoom_factor, outer[:2], inner[:2], frame)
    assert_close(render_at(levels, zoom, zoom_factor, frame), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [*zip([torch.float64, torch.float32, torch.float16, torch.uint8], 2 * SIZES, strict=True)],
    ids=str,
)
def test_a_whole_zoom_is_the_level(size, dtype):
    levels = (noise(4, *size) * 200).to(dtype)
    for zoom, level in enumerate(levels):
        assert torch.equal(render_at(levels, zoom, 2), level.to(torch.promote_types(dtype, torch.float32)))


@pytest.mark.parametrize("zoom_factor", [2, 4])
@pytest.mark.parametrize("pixels_per_cell", [1, 8])
def test_the_zoom_centre_stays_where_it_is(zoom_factor, pixels_per_cell):
    """Levels with one bright spot at the fixed point: so is every frame between them."""
    size = Size(64, 104)
    centre = zoom_centre(nesting(size, zoom_factor, pixels_per_cell), size, zoom_factor)
    assert (
        pixels_per_cell == 1 or zoom_factor == 2 or centre != zoom_centre(nesting(size, zoom_factor), size, zoom_factor)
    ), "here the unit should matter"
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(104) + 0.5, indexing="ij")
    distance = (y - centre.y * 64) ** 2 + (x - centre.x * 104) ** 2
    levels = torch.exp(-distance / 50).double().expand(3, 1, 64, 104)
    for frame in render_frames(levels, [0, 0.3, 0.5, 0.8, 1, 1.7], zoom_factor, pixels_per_cell=pixels_per_cell):
        weight = frame[0].clamp(min=0.2) - 0.2
        at = [(weight * axis).sum() / weight.sum() for axis in (y, x)]
        assert at == pytest.approx([centre.y * 64, centre.x * 104], abs=0.05)


@pytest.mark.parametrize("zoom_factor", [2, 3, 4])
def test_between_levels_a_consistent_stack_shows_the_scene(zoom_factor):
    """A scene of waves, drawn at any zoom by its formula: the frame differs no more than resampling must."""
    size = Size(48, 48)
    centre = zoom_centre(nesting(size, zoom_factor), size, zoom_factor).y

    def scene(zoom):
        side = centre + ((torch.arange(48, dtype=torch.float64) + 0.5) / 48 - centre) * zoom_factor**-zoom
        waves = [(2.0, 1.0), (-3.0, 4.0), (5.0, 5.0)]
        return sum(torch.sin(2 * math.pi * (a * side[:, None] + b * side))[None] for a, b in waves) / 6 + 0.5

    levels = torch.stack([scene(zoom) for zoom in range(3)])
    for zoom in torch.linspace(0, 2, 41).tolist():
        assert (render_at(levels, zoom, zoom_factor) - scene(zoom)).abs().max() < 0.01


def spiral(zoom_factor, side=72):
    """A picture that is its own centre, p times enlarged: it looks the same at every level and changes evenly."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) + 0.5 - side / 2] * 2, indexing="ij")
    turns = torch.log(torch.hypot(y, x)) / math.log(zoom_factor) + torch.atan2(y, x) / math.pi
    return 0.5 + 0.3 * torch.sin(2 * math.pi * turns)


@pytest.mark.parametrize(("zoom_factor", "frames_per_level"), [(2, 60), (3, 12)])
@pytest.mark.parametrize(("tint", "allowed"), [(0.0, 1.0), (0.2, 1.2)], ids=["consistent", "tinted"])
def test_nothing_pops_when_a_level_takes_over(zoom_factor, tint, allowed, frames_per_level):
    """From frame to frame, hand-overs change no more than the frames between them.

    Levels that do not agree in brightness cannot reach that: the border of the next one sweeps over the most pixels
    when it leaves the frame. A level that appeared at once would change 2 to 3 times as much.
    """
    count = 4
    levels = (
        render_image(spiral(zoom_factor).expand(count, 1, 72, 72), zoom_factor)
        + tint * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None]
    )
    zooms = [frame / frames_per_level for frame in range((count - 1) * frames_per_level + 1)]
    frames = torch.stack(list(render_frames(levels, zooms, zoom_factor)))
    change = (frames[1:] - frames[:-1]).square().mean((1, 2, 3)).sqrt()
    place = torch.arange(len(change)) % frames_per_level
    at_hand_over = (place == 0) | (place == frames_per_level - 1)
    assert change[at_hand_over].max() <= change[~at_hand_over].max() * allowed


@pytest.mark.parametrize("zoom", [0.1, 0.3, 0.5, 0.8])
def test_no_line_is_seen_where_a_level_ends(zoom):
    """Black below white, the worst case: the frame rises to white over the whole soft border, nowhere faster."""
    side = 96
    levels = torch.stack([torch.zeros(1, side, side), torch.ones(1, side, side)]).double()
    frame = render_at(levels, zoom, 2)[0]
    width = borders(level_span(0.5, 2, zoom, 1))[0] * side
    steepest = max(frame.diff(dim=0).abs().max(), frame.diff(dim=1).abs().max())
    assert 0 < steepest <= 1.5 / width + 1e-9  # the steepest slope of a smoothstep
    assert frame[0].max() == 0
    assert frame[:, 0].max() == 0


def test_rendered_levels_make_a_frame_that_does_not_depend_on_what_a_finer_level_hides():
    levels = render_image(noise(3, 32, 32), 2)
    hidden = levels.clone()
    hidden[1, :, 12:20, 12:20] = 7.0  # under level 2, where that is opaque
    shown = [render_at(stack, 1.6, 2)[:, 14:18, 14:18] for stack in (levels, hidden)]
    assert_close(*shown, rtol=0, atol=0)


def test_frames_are_made_one_by_one():
    levels = noise(2, 8, 8)

    def zooms():
        yield 0.5
        raise StopAsyncIteration("asked for the second frame")

    assert_close(next(render_frames(levels, zooms(), 2)), render_at(levels, 0.5, 2), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zoom": 2.1}, r"zoom: must be in 0\.\.2 for 3 levels, got 2\.1"),
        ({"zoom": -0.1}, r"zoom: must be in 0\.\.2 for 3 levels, got -0\.1"),
        ({"zoom": math.nan}, r"zoom: must be in 0\.\.2 for 3 levels, got nan"),
        ({"zoom_factor": 1}, r"zoom_factor: must be at least 2, got 1"),
        ({"size": Size(0, 4)}, r"size: a frame must be at least 1 x 1, got 0 x 4"),
        ({"levels": torch.zeros(1, 3, 8, 8)}, r"levels: a zoom stack has at least 2 levels, got 1"),
        ({"pixels_per_cell": 3}, r"height: must be a multiple of 3, got 8"),
    ],
)
def test_what_it_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        render_at(**{"levels": torch.zeros(3, 3, 8, 8), "zoom": 1.5, "zoom_factor": 2} | change)

"""PanoramaMetrics: it looks where the windows of the model are, and shows and says what it finds."""

import numpy as np
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, canvas_size
from joint_diffusion.core.measure.panorama import panorama_metrics
from joint_diffusion.nodes.drawings.measured_panorama import MeasuredPanorama
from joint_diffusion.nodes.drawings.metrics import COLOURS, MARGIN, NARROWEST, PAPER, Mark, colour_of, draw_metrics
from joint_diffusion.nodes.panorama_metrics import NO_WINDOWS, PanoramaMetrics
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from PIL import Image

NAMES = [output.display_name for output in PanoramaMetrics.GET_SCHEMA().outputs]


@pytest.fixture(scope="module")
def sd15():
    with torch.inference_mode():
        return tiny_models.sd15()


def windowed(model, **options):
    settings = {
        "window_width": 64,
        "window_height": 64,
        "overlap": 0.0,
        "windows": "overlapping",
        "wrap_x": False,
        "wrap_y": False,
    } | options
    return PanoramaWindows.execute(model, **settings)[0]


def measure(images, model):
    with torch.inference_mode():
        output = PanoramaMetrics.execute(images, model)
    return dict(zip(NAMES, output.args, strict=True)) | {"ui": output.ui}


def ramp(width=256, height=64, step=1 / 512):
    """One picture (1, H, W, 3) that gets brighter from left to right, evenly."""
    return (step * torch.arange(width)).repeat(height, 1)[None, ..., None].repeat(1, 1, 1, 3)


def seamed(column, height=3.0, **size):
    """A ramp with a step that is `height` times as large as the others."""
    image = ramp(**size)
    image[:, :, column:] += (height - 1) / 512
    return image


def test_a_seam_is_found_at_the_border_of_a_window_and_only_there(sd15):
    found = measure(seamed(128), windowed(sd15))
    assert found["seam energy"] == pytest.approx((1 + 3 + 1) / 3, rel=1e-3)
    lines = found["summary"].splitlines()
    assert lines[0] == "256 x 64 px, 4 windows"
    assert lines[1].startswith("Seams: bad, seam energy 1.67 (true pictures: up to 1.09")
    assert lines[2].startswith("Worst seam: fair, 3.00 at column 128 (true pictures: up to 2.28")
    assert measure(ramp(), windowed(sd15))["summary"].splitlines()[1].startswith("Seams: good, seam energy 1.00")
    assert measure(seamed(100), windowed(sd15))["seam energy"] == pytest.approx(1, rel=1e-3)
    tall = measure(seamed(128).transpose(1, 2), windowed(sd15))
    assert tall["seam energy"] == pytest.approx(5 / 3, rel=1e-3)
    assert "3.00 at row 128" in tall["summary"]


def test_edges_are_measured_and_spoken_of_where_they_meet(sd15):
    loop = (torch.arange(256) - 128).abs()[None, None, :, None].repeat(1, 64, 1, 3) / 512
    flat = measure(loop, windowed(sd15))
    assert flat["wrap error x"] == pytest.approx(1, rel=1e-3)
    assert flat["wrap error y"] == pytest.approx(1, rel=1e-3)
    assert "Edges" not in flat["summary"]
    around = measure(loop, windowed(sd15, wrap_x=True))["summary"]
    assert "Edges, left to right: good, wrap error 1.00 (true pictures: up to 1.33" in around
    assert "top to bottom" not in around
    apart = measure(ramp(), windowed(sd15, wrap_x=True, wrap_y=True))
    assert apart["wrap error x"] == pytest.approx(255, rel=1e-2)
    assert "Edges, left to right: bad, wrap error" in apart["summary"]
    assert "Edges, top to bottom: good, wrap error 1.00" in apart["summary"]


def test_windows_that_repeat_are_coherent_and_others_are_not(sd15):
    window = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    same = measure(window.repeat(1, 1, 4, 1), windowed(sd15))
    assert same["palette distance"] == pytest.approx(0, abs=1e-6)
    assert same["style distance"] == pytest.approx(0, abs=1e-5)
    fading = measure(window.repeat(1, 1, 4, 1) * torch.linspace(1, 0.1, 256)[:, None], windowed(sd15))
    assert fading["palette distance"] > 0.2
    assert fading["style distance"] > 0.2
    assert f"Several palettes: palette distance {fading['palette distance']:.3f} (true" in fading["summary"]
    assert "; bad, unless the prompts ask for it\n" in fading["summary"]
    assert "One palette: palette distance 0.000 (true" in same["summary"]
    assert "One style: style distance 0.000 (true" in same["summary"]


def test_a_single_window_has_nothing_to_be_compared(sd15):
    found = measure(ramp(width=64), windowed(sd15))
    assert found["seam energy"] == 1
    assert found["palette distance"] == found["style distance"] == 0
    assert found["summary"].startswith("64 x 64 px, 1 window\n")
    assert "there are no borders of windows" in found["summary"]
    assert "there are no windows that do not touch" in found["summary"]


def test_numbers_are_means_over_the_batch_and_there_is_a_picture_for_each(sd15):
    model = windowed(sd15, wrap_y=True)
    images = torch.cat([seamed(128), seamed(128, 7.0), ramp()])
    found = measure(images, model)
    alone = [measure(image[None], model) for image in images]
    for name in NAMES[1:-1]:
        assert found[name] == pytest.approx(np.mean([one[name] for one in alone]), rel=1e-5)
    assert found["summary"].startswith("Means of 3 panoramas\n")
    assert "Means" not in alone[0]["summary"]
    assert torch.equal(found["picture"], torch.cat([one["picture"] for one in alone]))
    assert len(found["ui"]["images"]) == 3
    assert found["ui"]["text"] == (found["summary"],)


def test_the_windows_are_those_of_the_model(sd15):
    image = seamed(96)
    assert "7 windows\n" in measure(image, windowed(sd15, overlap=0.5))["summary"]
    assert "at column 96 " in measure(image, windowed(sd15, overlap=0.5))["summary"]
    assert "at column 96 " not in measure(image, windowed(sd15))["summary"]
    bare = measure(ramp(width=1024, height=512), sd15)
    assert bare["summary"].endswith(NO_WINDOWS)
    assert "3 windows" in bare["summary"]


def test_transparency_does_not_count(sd15):
    image = seamed(128)
    veiled = torch.cat([image, torch.rand(*image.shape[:3], 1)], dim=-1)
    found, expected = measure(veiled, windowed(sd15)), measure(image, windowed(sd15))
    assert all(found[name] == expected[name] for name in NAMES[1:])
    assert found["picture"].shape == expected["picture"].shape


def test_a_picture_that_is_no_decoded_panorama(sd15):
    with pytest.raises(
        ValueError, match=r"images: .* multiples of 8 pixels.* got 260 x 64; connect .*before it is resi"
    ):
        measure(ramp(width=260), windowed(sd15))
    with pytest.raises(ValueError, match=r"wrapping canvas must be at least as large as the window"):
        measure(ramp(width=32), windowed(sd15, wrap_x=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(sd15, value):
    images = ramp()
    images[0, 3, 5, 1] = value
    with pytest.raises(ValueError, match=r"images: must be finite, .* start ComfyUI with --fp32-vae or --fp32-unet"):
        measure(images, windowed(sd15))


def has(sheet, colour):
    return (np.asarray(sheet) == colour).all(-1)


def test_borders_are_drawn_where_they_are_in_the_colour_of_their_seam():
    picture = Image.new("RGB", (512, 128), (90, 90, 90))
    sheet = draw_metrics(picture, [], [Mark(128, 1.0), Mark(384, 2.5)], ["a line"])
    for place, colour in ((128, COLOURS[0]), (384, COLOURS[-1])):
        above = has(sheet, colour)[: MARGIN + 70]  # the bars; below are the panorama and the legend
        columns = above.any(0).nonzero()[0]
        assert abs(columns.mean() - (MARGIN + 2 * place)) <= 1  # it is drawn at twice its size
    heights = [has(sheet, colour)[: MARGIN + 70].any(1).sum() for colour in (COLOURS[0], COLOURS[-1])]
    assert abs(2 * heights[0] - heights[1]) <= 2  # energies above 2 have the longest bar
    turned = draw_metrics(picture.transpose(Image.Transpose.ROTATE_90), [Mark(128, 2.0)], [], [])
    rows = has(turned, COLOURS[-1])[:1000].any(1).nonzero()[0]
    assert abs(rows.mean() - (MARGIN + 256)) <= 1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("wrap_x", "column"), [(False, 128), (True, 0)])
def test_the_worst_seam_is_framed_and_enlarged_where_it_is_worst(sd15, turned, wrap_x, column):
    """A step in the rows from 100 to 132 alone, at a border in the middle or where the edges meet."""
    image = torch.full((1, 192, 256, 3), 0.2)
    image[:, 100:132, column : column + 64] = 0.9
    options = {"window_width": 128, "window_height": 128, "wrap_x": wrap_x and not turned, "wrap_y": wrap_x and turned}
    image = image.transpose(1, 2) if turned else image
    found = measure(image, windowed(sd15, **options))["picture"][0]
    white = (found == 1).all(-1)
    height, width = image.shape[1:3]
    scale = 1024 / max(height, width)
    top = next(y for y in range(found.shape[0]) if (found[y] - 0.2).abs().max(-1).values.lt(0.01).sum() > 300)
    panorama = white[top : top + round(height * scale), 16 : 16 + round(width * scale)]
    along, across = (panorama.any(0), panorama.any(1)) if turned else (panorama.any(1), panorama.any(0))
    places = along.nonzero().squeeze() / scale
    assert 100 - 17 <= places.min() <= 100
    assert 132 <= places.max() <= 132 + 17
    middle = (across.nonzero().squeeze() / scale).mean()
    assert middle == pytest.approx(128, abs=4)  # at the edge there is a half of it on either side
    enlarged = found[-288 - 16 : -16, 16 : 16 + 288]
    halves = enlarged.mean(-1)[144:].mean(0) if not turned else enlarged.mean(-1)[:, 144:].mean(1)
    assert enlarged.std() > 0.1
    assert halves[:140].mean() + 0.1 < halves[148:].mean()


@pytest.mark.parametrize("turned", [False, True])
def test_the_worst_seam_near_an_edge_and_across_edges_that_meet(turned):
    """A border 8 pixels before the right edge, and a step there in rows around the upper and the lower edge."""
    image, windows = torch.zeros(3, 192, 136), [Window(0, 0, 192, 128), Window(0, 8, 192, 128)]
    image[:, [*range(16), *range(176, 192)], 128:] = 0.9
    wrap = Wrap(y=True)
    if turned:
        image, wrap = image.mT, Wrap(x=True)
        windows = [Window(left, top, width, height) for top, left, height, width in windows]
    metrics = panorama_metrics(image[None], windows, wrap, 8)
    measured = MeasuredPanorama(canvas=canvas_size(image), windows=windows, wrap=wrap, metrics=metrics)
    spot = measured.worst_spot(image).window
    along, across = (spot.left, spot.top) if turned else (spot.top, spot.left)
    assert spot.size == Size(48, 48)
    assert across == 136 - 48
    assert 192 - 48 < along <= 192 - 16


def test_colours_go_from_no_seam_to_a_seam():
    assert colour_of(0.5) == colour_of(1.0) == COLOURS[0]
    assert colour_of(1.5) == COLOURS[1]
    assert colour_of(2.0) == colour_of(40.0) == COLOURS[2]


@pytest.mark.parametrize("size", [(8, 8), (8, 20_000), (20_000, 8), (300, 200)])
def test_any_canvas_can_be_drawn_and_all_text_fits(size):
    line = max((NO_WINDOWS, "Palette distance 0.000, style distance 0.000, of windows that do not touch"), key=len)
    marks = [Mark(place, 1.2) for place in range(0, 9, 4)]
    sheet = draw_metrics(Image.new("RGB", size), marks, marks, [line])
    assert max(sheet.size) < 4500
    assert sheet.width >= NARROWEST
    assert has(sheet, PAPER)[-60:, NARROWEST - MARGIN // 2 :].all()


def test_it_runs_on_the_server(server):
    prompt = {
        "demo": {"class_type": "LoadDemoModel", "inputs": {}},
        "windows": {
            "class_type": "PanoramaWindows",
            "inputs": {
                "model": ["demo", 0],
                "window_width": 0,
                "window_height": 0,
                "overlap": 0.5,
                "windows": "overlapping",
                "wrap_x": True,
                "wrap_y": False,
            },
        },
        "image": {
            "class_type": "EmptyImage",
            "inputs": {"width": 512, "height": 128, "batch_size": 2, "color": 0x336699},
        },
        "metrics": {"class_type": "PanoramaMetrics", "inputs": {"images": ["image", 0], "model": ["windows", 0]}},
        "look": {"class_type": "PreviewImage", "inputs": {"images": ["metrics", 0]}},
        "number": {"class_type": "PreviewAny", "inputs": {"source": ["metrics", 1]}},
    }
    run = server.run(prompt)
    assert run.outputs["number"]["text"] == ["1.0"]
    (text,) = run.outputs["metrics"]["text"]
    assert text.startswith("Means of 2 panoramas\n512 x 128 px, 8 windows\nSeams: good, seam energy 1.00")
    assert np.array_equal(server.images(run, "metrics"), server.images(run, "look"))

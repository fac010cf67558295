"""PanoramaPlan: what it draws and counts is what the sampler will do."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch
from comfy.nested_tensor import NestedTensor
from joint_diffusion.core.canvas.windows import Size, Window
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CrossSamplingParams
from joint_diffusion.nodes.drawings.plan import EXAMPLE, coverage, draw_plan
from joint_diffusion.nodes.host.settings import Picture, joint_params
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.panorama_latent import PanoramaLatent
from joint_diffusion.nodes.panorama_plan import PanoramaPlan
from joint_diffusion.nodes.panorama_windows import PanoramaWindows


def windowed(model, **options):
    settings = {
        "window_width": 128,
        "window_height": 128,
        "overlap": 0.5,
        "windows": "overlapping",
        "wrap_x": False,
        "wrap_y": False,
    } | options
    return PanoramaWindows.execute(model, **settings)[0]


def plan(model, width, height):
    with torch.inference_mode():
        return PanoramaPlan.execute(model, PanoramaLatent.execute(width, height, 1)[0]).args


def test_it_counts_windows_and_views():
    picture, windows, views, summary = plan(windowed(tiny_models.sd15()), 512, 128)
    assert (windows, views) == (7, 7)
    assert picture.ndim == 4
    assert picture.shape[-1] == 3
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert "Canvas 512 x 128 px\n" in summary
    assert "7 windows of 128 x 128 px, overlap at least 64 px; 1 to 2 windows cover" in summary


@pytest.mark.parametrize(
    ("size", "scales", "smallest"),
    [
        ((512, 256), 2, "256 x 128 px: 2 x 1 windows"),
        ((512, 512), 3, "128 x 128 px: 1 x 1 windows"),
        ((2048, 128), 1, "2048 x 128 px: 16 x 1 windows"),  # scenes stack upwards, and here is no room for it
        ((64, 512), 2, "32 x 256 px: 0.25 x 2 windows"),  # not below a quarter of the width
    ],
)
def test_it_says_how_many_scales_a_canvas_asks_for(size, scales, smallest):
    model = with_settings(windowed(tiny_models.sd15()), multiscale=MultiScaleParams())
    summary = plan(model, *size)[3]
    assert f"{scales} scale{'s' if scales > 1 else ''}, the smallest of {smallest}" in summary
    several = any(float(windows) > 2 for windows in re.findall(r"([\d.]+) x ([\d.]+) windows", summary)[-1])
    assert several == ("Warning: that is more than 2 windows in a direction" in summary)


def test_it_counts_what_the_scales_cost():
    model = with_settings(windowed(tiny_models.sd15()), multiscale=MultiScaleParams(scales=2))
    _, windows, views, summary = plan(model, 512, 256)
    assert windows == 21
    assert views == 21 + 3
    assert "21 windows of 128 x 128 px, overlap at least 64 x 64 px; 1 to 4 windows cover" in summary
    assert "The model denoises 24 views in each guided step, 21 in others" in summary
    through = with_settings(model, multiscale=MultiScaleParams(scales=2, guidance="gradient"))
    assert plan(through, 512, 256)[2] == 21 + 21 + 3


@pytest.mark.parametrize("off", [MultiScaleParams(scales=1), MultiScaleParams(strength=0.0)])
def test_scales_that_are_off_are_not_spoken_of(off):
    summary = plan(with_settings(windowed(tiny_models.sd15()), multiscale=off), 2048, 512)[3]
    assert "scale" not in summary
    assert "Warning" not in summary


def test_it_counts_the_turns_of_cross_sampling_and_what_sync_costs():
    model = with_settings(windowed(tiny_models.sd15()), cross_sampling=CrossSamplingParams(), sync=SyncParams())
    _, windows, views, summary = plan(model, 512, 128)
    assert (windows, views) == (7, 7)
    assert "2 sets of windows take turns, 32 px apart, of 7 and 7 windows" in summary
    through = with_settings(model, sync=SyncParams(guidance="gradient"))
    assert "The model denoises 14 views in each guided step, 7 in others" in plan(through, 512, 128)[3]


@pytest.mark.parametrize(("times", "views"), [(1, 7), (2, 7), (4, 7 + 3), (8, 7 + 3 + 1)])
def test_it_counts_the_scales_between_a_picture_and_the_canvas(times, views):
    picture = Picture(image=torch.zeros(1, 128 // times, 512 // times, 3), vae=None, strength=1.0, end=0.03)
    model = with_settings(windowed(tiny_models.sd15()), picture=picture)
    _, windows, counted, summary = plan(model, 512, 128)
    assert (windows, counted) == (7, views)
    assert f"The model denoises {views} views in each guided step, 7 in others" in summary
    assert plan(with_settings(model, picture=replace(picture, strength=0.0)), 512, 128)[2] == 7


def test_it_says_what_the_sampler_would_refuse():
    picture = Picture(image=torch.zeros(1, 128, 128, 3), vae=None, strength=1.0, end=0.03)
    model = with_settings(windowed(tiny_models.sd15()), picture=picture)
    with pytest.raises(ValueError, match=r"image: has other proportions \(128 x 128 pixels\) than the canvas"):
        plan(model, 512, 128)
    with pytest.raises(ValueError, match="structure: the picture decides the layout already"):
        plan(with_settings(model, multiscale=MultiScaleParams()), 128, 128)


def test_windows_that_move_are_few():
    model = windowed(tiny_models.sd15(), windows="moving")
    _, windows, views, summary = plan(model, 512, 512)
    assert windows == views
    assert 16 <= windows <= 25
    assert "px, side by side, in other places in every step" in summary
    assert plan(windowed(tiny_models.sd15()), 512, 512)[1] == 49


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 128), (320, 192), (128, 128)])
def test_windows_that_move_are_never_more_than_it_says(width, height):
    model = windowed(tiny_models.sd15(), windows="moving")
    _, windows, views, summary = plan(model, width, height)
    moving, canvas = joint_params(model).windows, Size(height // 8, width // 8)
    counted = [len(moving.at(sigma).plan(canvas)) for sigma in np.geomspace(0.03, 14, 200)]
    assert windows == views == max(counted)
    assert f"denoises up to {views} view" in summary


@pytest.mark.parametrize(
    ("latent", "got"),
    [
        (torch.zeros(1, 4, 256), r"shape \(1, 4, 256\)"),
        (NestedTensor((torch.zeros(1, 4, 16, 64), torch.zeros(1, 4, 4))), "several streams"),
    ],
)
def test_it_refuses_what_is_no_picture(latent, got):
    with pytest.raises(ValueError, match=f"samples: must be a latent of 4 .* dimensions, got {got}"):
        PanoramaPlan.execute(windowed(tiny_models.sd15()), {"samples": latent})


def test_one_of_a_kind_is_said_in_the_singular():
    lines = plan(windowed(tiny_models.sd15()), 128, 128)[3].split("\n")
    assert lines[1] == "1 window of 128 x 128 px; 1 window covers each place"
    assert lines[2].startswith("The model denoises 1 view in each step")
    apart = plan(windowed(tiny_models.sd15(), overlap=0.0), 256, 128)[3]
    assert "2 windows of 128 x 128 px, overlap at least 0 px; 1 window covers each place" in apart
    around = plan(windowed(tiny_models.sd15(), wrap_x=True), 128, 256)[3]
    assert "px; 2 to 4 windows cover each place" in around


def test_wrapping_is_drawn_on_both_sides():
    model = windowed(tiny_models.sd15(), wrap_x=True)
    assert "wraps in x" in plan(model, 512, 128)[3]
    picture = np.asarray(draw_plan(Size(16, 64), [Window(0, 56, 16, 16)], []))
    in_colour = (picture == EXAMPLE[:3]).all(-1).any(0).nonzero()[0]
    assert in_colour.min() < 200
    assert in_colour.max() > 900


def test_an_empty_latent_is_what_the_sampler_makes_of_it():
    model = windowed(tiny_models.qwen_image())
    assert plan(model, 512, 128)[1] == 7


def test_a_model_without_windows_is_told_apart():
    assert "No Panorama Windows" in plan(tiny_models.sd15(), 1024, 512)[3]


def test_coverage_counts_windows():
    count = coverage(Size(2, 5), [Window(0, 0, 2, 3), Window(0, 2, 2, 3)])
    assert count.tolist() == [[1, 1, 2, 1, 1]] * 2


@pytest.mark.parametrize("canvas", [(8, 8), (8, 10_000), (10_000, 8)])
def test_any_canvas_can_be_drawn(canvas):
    sheet = draw_plan(Size(*canvas), [Window(0, 0, 8, 8)], ["a line"])
    assert max(sheet.size) < 4500
    assert min(sheet.size) > 70

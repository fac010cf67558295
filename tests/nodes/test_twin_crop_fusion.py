"""Twin Crop Fusion in the real host: the paper's steps window by window, and what the node makes of its inputs."""

import random

import comfy.samplers
import oracles
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.windows import Size, Window
from joint_diffusion.nodes.host.settings import settings_of
from joint_diffusion.nodes.panorama_plan import PanoramaPlan
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from joint_diffusion.nodes.twin_crop_fusion import TwinCropFusion
from sampling_run import lively, prompts, run, run_by_hand

pytestmark = pytest.mark.usefixtures("inference_mode")

STEPS = 4


@pytest.fixture(scope="module")
def sd15():
    return lively(tiny_models.sd15())


def windowed(model, wrap_x=False):
    """Windows of 8 x 8 cells, half of which the next one sees too."""
    return PanoramaWindows.execute(model, 64, 64, 0.5, "overlapping", wrap_x, False, weights="gaussian").args[0]


def twin(model, adjacency=1.0, stop=0.5, cross_sampling=True, **options):
    return TwinCropFusion.execute(model, adjacency, stop, cross_sampling, **options).args[0]


def grid(tops, lefts):
    return [Window(top, left, 8, 8) for top in tops for left in lefts]


@pytest.mark.parametrize(
    ("family", "shape", "wrap_x", "options", "turns"),
    [
        (
            "sd15",
            (1, 4, 8, 24),
            False,
            {"adjacency": 0.5},
            [grid([0], [0, 4, 8, 12, 16]), grid([0], [0, 6, 10, 14, 16])],
        ),
        ("sd15", (1, 4, 12, 16), False, {"adjacency": 0.5}, [grid([0, 4], [0, 4, 8]), grid([0, 4], [0, 6, 8])]),
        ("sd15", (1, 4, 8, 16), True, {}, [grid([0], [0, 4, 8, 12]), grid([0], [2, 6, 10, 14])]),
        ("sd15", (1, 4, 8, 16), False, {"cross_sampling": False}, [grid([0], [0, 4, 8])]),
        ("sd15", (1, 4, 8, 16), False, {"stop": 0.0}, [grid([0], [0, 4, 8]), grid([0], [0, 6, 8])]),
        ("qwen_image", (1, 16, 1, 8, 16), False, {}, [grid([0], [0, 4, 8]), grid([0], [0, 6, 8])]),
    ],
)
def test_the_host_aligns_and_moves_windows_as_the_paper_does(family, shape, wrap_x, options, turns):
    """Every window is stepped, aligned with its neighbours, and averaged; where the windows are is written down.

    Whose turn it is, the noise level says by lot; half of the way is done where noise and picture are as strong.
    """
    adjacency, stop = options.get("adjacency", 1.0), options.get("stop", 0.5)
    weights = window_weights("gaussian", Size(8, 8))

    def step(x, sigma, after, denoise, index):
        windows = turns[random.Random(f"{sigma:.3e}").randrange(len(turns))]
        picture = 1 if family == "sd15" else 1 - sigma
        stepped = [oracles.ddim_step(oracles.look(x, window), sigma, after, denoise).detach() for window in windows]
        if stop and sigma > picture:
            stepped = oracles.crop_fusion(stepped, windows, shape[-2:], adjacency, (False, wrap_x))
        return oracles.fuse(stepped, windows, x.shape, weights)

    with torch.inference_mode(False):
        ordinary = lively(getattr(tiny_models, family)())
    expected = run_by_hand(ordinary, shape, step, STEPS, prompt=prompts(family))
    model, latent = lively(getattr(tiny_models, family)()), torch.zeros(shape)
    found = run(windowed(twin(model, **options), wrap_x), latent, steps=STEPS, prompt=prompts(family))
    plain = run(windowed(model, wrap_x), latent, steps=STEPS, prompt=prompts(family))
    error, effect = ((value - expected).abs().max() for value in (found, plain))
    assert error < 1e-4 * expected.abs().max()
    assert effect > 30 * error


def test_both_turns_come(sd15):
    """In a run of the length above; else its windows would prove little."""
    levels = comfy.samplers.calculate_sigmas(sd15.get_model_object("model_sampling"), "normal", STEPS).tolist()[:-1]
    assert {random.Random(f"{sigma:.3e}").randrange(2) for sigma in levels} == {0, 1}


def test_a_large_lambda_is_panorama_windows(sd15):
    latent = torch.zeros(1, 4, 8, 16)
    plain = run(windowed(sd15), latent)
    for adjacency, error in ((1e7, 1e-5), (10.0, 0.2)):
        found = run(twin(windowed(sd15), adjacency, stop=1.0, cross_sampling=False), latent)
        assert (found - plain).abs().max() < error * plain.abs().max()
    assert (found - plain).abs().max() > 1e-4 * plain.abs().max()


def test_without_both_it_is_panorama_windows_bit_for_bit(sd15):
    latent = torch.zeros(2, 4, 8, 16)
    off = twin(windowed(sd15), stop=0.0, cross_sampling=False)
    assert torch.equal(run(off, latent), run(windowed(sd15), latent))


def test_it_costs_no_view_of_the_model(sd15):
    rows = []
    counted = twin(windowed(sd15)).clone()
    counted.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    run(counted, torch.zeros(1, 4, 8, 24), steps=2)
    assert sum(rows) == 2 * (5 + 5)


def test_the_cross_stride_is_in_pixels(sd15):
    by_hand, evenly = (settings_of(twin(sd15, cross_stride=pixels).model_options).cross_sampling for pixels in (48, 0))
    assert by_hand.cross_stride == Size(6, 6)
    assert evenly.cross_stride is None
    wide = twin(PanoramaWindows.execute(sd15, 64, 64, 0.25, "overlapping", False, False).args[0], cross_stride=32)
    _, _, _, summary = PanoramaPlan.execute(wide, {"samples": torch.zeros(1, 4, 8, 24)}).args
    assert "2 sets of windows take turns, 32 px apart, of 4 and 4 windows" in summary


def test_the_plan_counts_the_windows_of_every_set(sd15):
    latent = {"samples": torch.zeros(1, 4, 8, 24)}
    _, windows, views, summary = PanoramaPlan.execute(twin(windowed(sd15)), latent).args
    assert (windows, views) == (5, 5)
    assert "2 sets of windows take turns, 16 px apart, of 5 and 5 windows" in summary
    assert "The model denoises 5 views in each step" in summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"groups": 4},
            r"groups: with a stride of 4 latent cells .* a grid of 2 .* 2 sets of windows, got 4; use fewer groups",
        ),
        ({"cross_stride": 64}, r"cross_stride width: 2 sets of windows must lie within one stride of 4 .*, got 8"),
    ],
)
def test_sets_that_do_not_fit_are_refused_before_the_first_step(sd15, options, message):
    """Only the run knows the windows, since Panorama Windows may come after this node."""
    model = windowed(twin(sd15, **options))
    with pytest.raises(ValueError, match=message):
        run(model, torch.zeros(1, 4, 8, 24))
    with pytest.raises(ValueError, match=message):
        PanoramaPlan.execute(model, {"samples": torch.zeros(1, 4, 8, 24)})

"""Panorama Prompts: prompts in their places, on the real host, against the loop that its masks stand for."""

import oracles
import pytest
import sampling_run
import tiny_models
import torch
from comfy.hooks import set_default_conds_and_combine
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.places import shares
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.nodes.host.demo_model import demo_clip
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.windows.placed_prompts import reach_of
from joint_diffusion.nodes.panorama_plan import PanoramaPlan
from joint_diffusion.nodes.panorama_prompts import PanoramaPrompts
from tiny_models import prompt
from window_run import predict

from nodes import (
    ConditioningCombine,
    ConditioningSetArea,
    ConditioningSetAreaStrength,
    ConditioningSetMask,
    ConditioningSetTimestepRange,
)

pytestmark = pytest.mark.usefixtures("inference_mode")

WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4), grid=2)
CANVAS = Size(8, 24)


@pytest.fixture(scope="module")
def sd15():
    with torch.inference_mode(False):  # by hand it is called outside of inference mode
        return tiny_models.sd15()


@pytest.fixture(scope="module")
def clip():
    return demo_clip()


def windowed(model, **options):
    return with_settings(model, windows=WindowParams(**{**vars(WINDOWS), **options}))


def make(model, canvas=CANVAS, clip=None, everywhere="", prompts="", columns=0, rows=1, border=0, places=None):
    latent = {"samples": torch.zeros(1, 4, *canvas)}
    named = None if places is None else {f"place_{number}": place for number, place in enumerate(places)}
    return PanoramaPrompts.execute(clip, model, latent, everywhere, prompts, columns, rows, border, named)[0]


def masks(conditioning):
    return torch.cat([options["mask"] for _, options in conditioning])


def test_lines_are_encoded_with_what_holds_everywhere(sd15, clip):
    found = make(windowed(sd15), clip=clip, everywhere="far mountains,\n", prompts="\nspring\n\n winter \nspring\n")
    texts = ["far mountains, spring", "far mountains, winter", "far mountains, spring"]
    for (tensor, _), text in zip(found, texts, strict=True):
        assert torch.equal(tensor, clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0])
    assert found[0][0] is found[2][0], "equal prompts are encoded once"
    assert torch.equal(masks(found), shares(CANVAS, 1, 3, (8, 8)))
    assert [name for name, _ in reach_of(found, CANVAS)] == ["spring", "winter", "spring"]


def test_pooled_text_and_everything_else_of_a_conditioning_is_kept(sd15):
    place = prompt(1, pooled_output=torch.ones(1, 1280), guidance=2.5)
    ((tensor, options),) = make(windowed(sd15), places=[place])
    assert tensor is place[0][0]
    assert options["pooled_output"] is place[0][1]["pooled_output"]
    assert options["guidance"] == 2.5
    assert "mask" not in place[0][1], "the user's conditioning is not changed"


def test_the_usual_border_is_as_wide_as_a_window_but_not_wider_than_a_place(sd15):
    two, six = (masks(make(windowed(sd15), places=[prompt(1)] * count)) for count in (2, 6))
    assert torch.equal(two, shares(CANVAS, 1, 2, (8, 8)))
    assert torch.equal(six, shares(CANVAS, 1, 6, (8, 4)))
    assert torch.equal(masks(make(windowed(sd15), places=[prompt(1)] * 2, border=100)), shares(CANVAS, 1, 2, (9, 12.5)))


def test_the_edges_that_wrap_are_those_of_the_windows(sd15):
    around = masks(make(windowed(sd15, wrap=Wrap(x=True)), places=[prompt(1)] * 3))
    assert torch.equal(around, shares(CANVAS, 1, 3, (8, 8), Wrap(x=True)))
    assert 0 < around[2, 0, 0] < around[0, 0, 0] < 1


def test_a_grid(sd15):
    canvas = Size(16, 24)
    for settings in ({"columns": 3, "rows": 2}, {"rows": 2}):
        grid = masks(make(windowed(sd15), canvas, places=[prompt(1)] * 6, **settings))
        assert torch.equal(grid, shares(canvas, 2, 3, (8, 8)))
        torch.testing.assert_close(grid.sum(0), torch.ones(canvas))


def test_an_empty_latent_is_as_large_as_the_sampler_makes_it():
    found = make(tiny_models.qwen_image(), Size(166, 332), places=[prompt(1)] * 2)
    assert masks(found).shape == (2, 166, 332)


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_a_panorama_of_two_prompts_is_a_literal_loop(sd15, wrap):
    """In every window the mean of what the model says to each prompt, weighed by the shares of the cells."""
    model, latent, cfg = windowed(sd15, wrap=wrap), torch.zeros(1, 4, *CANVAS), 4.0
    with torch.inference_mode(False):
        places, negative = [prompt(1), prompt(3)], prompt(2)
    positive = make(model, places=places)
    fused = sampling_run.run(model, latent, prompt=(positive, negative), cfg=cfg)

    with torch.inference_mode(False):
        weights, parts = window_weights("feathered", Size(8, 8)), shares(CANVAS, 1, 2, (8, 8), wrap)
        windows = WindowParams(**{**vars(WINDOWS), "wrap": wrap}).plan(CANVAS)
        asked = [sampling_run.denoiser(sd15, place, negative, cfg) for place in places]

    def step(x, sigma, after, _denoise, _index):
        views = []
        for window in windows:
            view, mixed = oracles.look(x, window), 0
            for part, ask in zip(parts, asked, strict=True):
                mixed = mixed + oracles.look(part[None], window) * ask(view, sigma)
            views.append(mixed)
        denoised = oracles.fuse(views, windows, x.shape, weights)
        return denoised + after / sigma * (x - denoised)

    by_hand = sampling_run.run_by_hand(sd15, (1, 4, *CANVAS), step, cfg=cfg, prompt=(places[0], negative))
    torch.testing.assert_close(fused, by_hand, rtol=1e-4, atol=1e-4)
    alone = sampling_run.run(model, latent, prompt=(places[0], negative), cfg=cfg)
    assert not torch.allclose(fused, alone, rtol=1e-2, atol=1e-2), "the prompts make no difference"


def counted(model):
    """A clone that notes the rows of every call of the network."""
    rows, clone = [], model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply, call: (rows.append(len(call["input"])), apply(call["input"], call["timestep"], **call["c"]))[1]
    )
    return clone, rows


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_fifty_prompts_cost_what_the_windows_touch(sd15, wrap):
    canvas, count = Size(8, 400), 50
    model, rows = counted(windowed(sd15, wrap=wrap))
    positive = make(model, canvas, places=[prompt(number) for number in range(count)])
    sampling_run.run(model, torch.zeros(1, 4, *canvas), steps=1, prompt=(positive, prompt(99)))
    windows = WindowParams(**{**vars(WINDOWS), "wrap": wrap}).plan(canvas)
    # A place is 8 cells wide, and its border reaches 4 cells beyond.
    touched = {
        (window.left, cell % 400 // 8)
        for window in windows
        for start in range(window.left, window.left + 8)
        for cell in (start - 4, start, start + 3)
        if wrap.x or 0 <= cell < 400
    }
    assert sum(rows) == len(touched) + len(windows)
    assert len(touched) <= 3 * len(windows)
    plan = PanoramaPlan.execute(model, {"samples": torch.zeros(1, 4, *canvas)}, positive)
    assert f"50 prompts, {len(touched) / len(windows):.2g} of them in a window on average" in plan[3]
    assert f"{len(touched)} predictions per step, and {len(windows)} more with a negative prompt" in plan[3]


def predicted(positive, at):
    """What the host makes of the prompts on a canvas of 8 x 24 cells, `at` a part of the sampling."""
    model = tiny_models.sd15()
    model.set_model_unet_function_wrapper(
        lambda _, call: call["input"] * call["c"]["c_crossattn"].mean((1, 2)).view(-1, 1, 1, 1)
    )
    sigma = model.get_model_object("model_sampling").percent_to_sigma(at)
    x = torch.randn(1, 4, *CANVAS, generator=torch.Generator().manual_seed(3))
    return predict(model, positive, prompt(2), x, sigma)[0]


def ranged(conditioning, start, end):
    return ConditioningSetTimestepRange().set_range(conditioning, start, end)[0]


def both(*conditionings):
    one, *others = conditionings
    for other in others:
        (one,) = ConditioningCombine().combine(one, other)
    return one


def masked(conditioning, mask, strength=1.0):
    return ConditioningSetMask().append(conditioning, mask, "default", strength)[0]


LEFT = torch.zeros(8, 24)
LEFT[:, :9] = 1
COMPLEX = {
    "schedule": both(ranged(prompt(3), 0.0, 0.4), ranged(prompt(4), 0.4, 1.0)),
    "schedules that overlap": both(prompt(3), ranged(prompt(4), 0.3, 0.7), ranged(prompt(5), 0.6, 1.0)),
    "strengths": both(ConditioningSetAreaStrength().append(prompt(3), 0.2)[0], prompt(4)),
    "a strength alone": ConditioningSetAreaStrength().append(prompt(3), 0.2)[0],
    "masks": both(prompt(3), masked(prompt(4), LEFT, 2.0)),
    "a mask in pixels": both(prompt(3), masked(prompt(4), torch.rand(2, 64, 192)[:1])),
    "an area": both(prompt(3), ConditioningSetArea().append(prompt(4), 80, 64, 56, 0, 0.7)[0]),
    "a default": set_default_conds_and_combine([masked(prompt(3), LEFT)], [prompt(4)])[0],
    "a default beside too much": set_default_conds_and_combine([masked(prompt(3), LEFT, 2.0)], [prompt(4)])[0],
}


@pytest.mark.parametrize("at", [0.2, 0.5, 0.65, 0.9])
@pytest.mark.parametrize("name", COMPLEX)
def test_a_place_is_what_the_host_makes_of_its_conditioning_alone(sd15, name, at):
    """However many entries it has and whenever they are on: the share of the place stays what it is."""
    places = [prompt(1), COMPLEX[name]]
    found = predicted(make(windowed(sd15), places=places), at)
    alone = [predicted(place, at) for place in places]
    expected = sum(share * one for share, one in zip(shares(CANVAS, 1, 2, (8, 8)), alone, strict=True))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_prompt_reaches_what_the_mask_of_any_picture_covers():
    (reach,) = reach_of(masked(prompt(3), torch.stack([LEFT, 1 - LEFT])), CANVAS)
    assert torch.equal(reach.weights, torch.ones(CANVAS))


def test_one_schedule_for_all_places_is_kept_for_others_to_follow(sd15):
    places = [ranged(prompt(1), 0.0, 0.4), ranged(prompt(3), 0.0, 0.4)]
    found = make(windowed(sd15), places=places)
    assert [(options["start_percent"], options["end_percent"]) for _, options in found] == [(0.0, 0.4)] * 2


def test_a_schedule_of_the_text_encoder_is_kept(sd15):
    place = [[prompt(1)[0][0], {"clip_start_percent": 0.0, "clip_end_percent": 0.5}]]
    place += [[prompt(3)[0][0], {"clip_start_percent": 0.5, "clip_end_percent": 1.0}]]
    found = make(windowed(sd15), places=[place, prompt(2)])
    assert [options.get("clip_end_percent") for _, options in found] == [0.5, 1.0, None]
    assert [name for name, _ in reach_of(found, CANVAS)] == ["place 1", "place 2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"prompts: there must be at least one, one prompt per line, got none; write some lines, or connect"),
        ({"prompts": " \n\n"}, r"prompts: there must be at least one"),
        (
            {"prompts": "a\nb\nc", "columns": 2},
            r"prompts: 2 columns x 1 rows have 2 places, each for one prompt, got 3; remove 1, or change columns",
        ),
        ({"prompts": "a\nb\nc", "rows": 2}, r"prompts: 2 columns x 2 rows have 4 places, .*got 3; write 1, or"),
        ({"prompts": "\n".join("a" * 25)}, r"columns: must be in 1\.\.24, .*24 latent cells .*got 25; use fewer"),
        ({"prompts": "\n".join("a" * 18), "rows": 9}, r"rows: must be in 1\.\.8, .*got 9"),
        ({"prompts": "a", "rows": 0}, r"rows: must be at least 1, got 0"),
        ({"prompts": "a", "columns": -1}, r"columns: must be at least 0, got -1"),
        ({"prompts": "a", "border": -8}, r"border: must be at least 0 pixels \(0: as wide as a window\), got -8"),
        ({"prompts": "a", "canvas": Size(8, 0)}, r"columns: must be in 1\.\.0, as the canvas has 0 latent cells"),
        ({"everywhere": "a", "places": [prompt(1)]}, r"everywhere: is put before .*clear it, and put its text"),
        ({"prompts": "a", "places": [prompt(1)] * 2}, r"prompts: .*one line for each.*got 1 lines for 2 places"),
        (
            {"prompts": "a\nb", "places": [prompt(1), ranged(prompt(2), 0.0, 0.6)]},
            r"places: place 2 \(b\) has no prompt from 0\.6 to 1 of the sampling.*add one for that time",
        ),
    ],
)
def test_wrong_input(sd15, clip, changes, message):
    with pytest.raises(ValueError, match=message):
        make(windowed(sd15), clip=clip, **changes)


def test_the_plan_shows_where_prompts_reach(sd15, clip):
    model = windowed(sd15)
    positive = make(model, clip=clip, prompts="spring\nsummer\nwinter")
    latent = {"samples": torch.zeros(1, 4, *CANVAS)}
    with_prompts, without = PanoramaPlan.execute(model, latent, positive), PanoramaPlan.execute(model, latent)
    assert with_prompts[3].startswith(without[3])
    assert with_prompts[3].splitlines()[-3:] == [
        "1 in 3 windows: spring",
        "2 in 5 windows: summer",
        "3 in 3 windows: winter",
    ]
    assert (
        "3 prompts, 2.2 of them in a window on average, at most 3: 11 predictions per step, and 5 more"
        in with_prompts[3]
    )
    assert with_prompts[0].shape[1] > without[0].shape[1]
    height = without[0].shape[1] - 16
    assert torch.equal(with_prompts[0][:, :height], without[0][:, :height])


def test_the_plan_tells_of_places_without_a_prompt(sd15):
    latent = {"samples": torch.zeros(1, 4, *CANVAS)}
    area = ConditioningSetArea().append(prompt(4), 96, 64, 0, 0, 0.7)[0]
    summary = PanoramaPlan.execute(windowed(sd15), latent, area)[3]
    assert "Warning: no prompt reaches 50.0% of the canvas, which will be a grey block" in summary
    assert summary.endswith("1 in 3 windows: prompt 1")
    assert "Warning" not in PanoramaPlan.execute(windowed(sd15), latent, prompt(1))[3]


def test_many_prompts_are_listed_in_the_summary(sd15, clip):
    model = windowed(sd15)
    positive = make(model, Size(8, 200), clip=clip, prompts="\n".join(["spring"] * 50))
    plan = PanoramaPlan.execute(model, {"samples": torch.zeros(1, 4, 8, 200)}, positive)
    assert len(plan[3].splitlines()) == 3 + 1 + 50
    assert plan[0].shape[1] < 800

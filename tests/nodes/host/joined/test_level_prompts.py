"""Each level of a zoom stack gets its own prompt, in one batch, and what it would get alone."""

import comfy.samplers
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.nodes.host.joined.level_batches import LevelBatches
from joint_diffusion.nodes.host.joined.level_prompts import of_all_levels
from joint_diffusion.nodes.host.windows.patch import with_settings
from tiny_models import control_net, prompt
from window_run import predict

pytestmark = pytest.mark.usefixtures("inference_mode")

SIGMA = 2.0
FAMILIES = {"sd15": (4,), "sdxl": (4,), "flux": (16,), "qwen_image": (16, 1)}
POOLED = {"sdxl": 1280, "flux": 32}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    with torch.inference_mode():
        return request.param, getattr(tiny_models, request.param)()


def rand(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def text(family, seed, tokens=8, **options):
    if family in POOLED:
        options["pooled_output"] = rand(1, POOLED[family], seed=seed)
    return prompt(seed, tokens=tokens, **options)


def stack(family, levels, height=16, width=16):
    return SIGMA * torch.randn(
        levels, *FAMILIES[family], height, width, generator=torch.Generator().manual_seed(levels)
    )


def count_rows(model):
    """A clone whose network tells how many rows each of its calls has."""
    rows = []
    clone = model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    return clone, rows


def together(model, levels, negative, x, at_once=None):
    """[cond, uncond] of all levels, and the rows of each call; `at_once` levels at most."""
    batches = LevelBatches(len(levels))
    batches._batches._most = at_once
    model, rows = count_rows(model)
    result = predict(model, of_all_levels(levels), negative, x, SIGMA, lambda _, *call: batches(*call))
    return result, rows


def check(model, levels, negative, x, calls):
    """In one batch, in batches of two and level by level the same; `calls` of the network for all at once."""
    alone = torch.cat(
        [predict(model, level, negative, row[None], SIGMA) for level, row in zip(levels, x, strict=True)], dim=1
    )
    actual, rows = together(model, levels, negative, x)
    tolerance = 1e-5 * alone.abs().max().item()
    torch.testing.assert_close(actual, alone, rtol=0, atol=tolerance)
    assert len(rows) == calls
    split, rows = together(model, levels, negative, x, at_once=2)
    assert max(rows) <= 2 * (max(map(len, levels)) + len(negative))
    torch.testing.assert_close(split, alone, rtol=0, atol=tolerance)


def test_one_call_for_all_levels(family):
    name, model = family
    levels = [text(name, seed) for seed in range(5)]
    check(model, levels, text(name, 9), stack(name, 5), calls=1)


def test_prompts_of_different_lengths(family):
    """ComfyUI repeats the tokens of U-Nets to a common length; transformers need a call for each length.

    So the two levels whose prompts are not as long as the negative one need two.
    """
    name, model = family
    levels = [text(name, seed, tokens) for seed, tokens in enumerate((8, 16, 8, 16))]
    check(model, levels, text(name, 9), stack(name, 4), calls=1 if name in ("sd15", "sdxl") else 3)


def test_a_level_with_regions_and_a_schedule():
    model = tiny_models.sd15()
    left, right = torch.zeros(2, 1, 128, 128)
    left[..., :64] = right[..., 64:] = 1
    levels = [
        prompt(1, mask=left) + prompt(2, mask=right),
        prompt(3, mask=right) + prompt(4, mask=left),
        prompt(5) + prompt(6, area=(8, 8, 0, 8), strength=0.7),
        prompt(7, start_percent=0.0, end_percent=0.01) + prompt(8, start_percent=0.01, end_percent=1.0),
        prompt(9),
    ]
    check(model, levels, prompt(10), stack("sd15", 5), calls=5)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"strength": 0.3}, {"strength": 2.0}), ({"mask_strength": 0.3}, {"mask_strength": 0.9}), ({}, {"default": True})],
    ids=["strength", "mask_strength", "default"],
)
def test_levels_that_differ_in_how_much_an_entry_counts(one, other):
    mask = torch.zeros(1, 128, 128)
    mask[..., :64] = 1
    levels = [prompt(1, mask=mask, **options) + prompt(2) for options in (one, other, one)]
    check(tiny_models.sd15(), levels, prompt(9), stack("sd15", 3), calls=2)


def test_every_level_may_have_its_own_inpaint_picture():
    model = tiny_models.sd15(inpaint=True)
    pictures = [rand(1, 4, 16, 16, seed=seed) for seed in range(3)]
    levels = [
        prompt(seed, concat_latent_image=picture, concat_mask=torch.ones(1, 1, 16, 16))
        for seed, picture in enumerate(pictures)
    ]
    check(model, levels, levels[0], stack("sd15", 3), calls=1)


def test_controlnets_on_some_levels():
    model = tiny_models.sd15()
    nets = [control_net().set_cond_hint(rand(1, 3, 128, 128, seed=seed)) for seed in range(2)]
    levels = [prompt(1, control=nets[0]), prompt(2), prompt(3, control=nets[1]), prompt(4, control=nets[0])]
    check(model, levels, prompt(9), stack("sd15", 4), calls=5)


def windowed(model, positive, negative, x):
    """The denoised levels after CFG, through windows of 16 x 16."""
    seen = []

    def step(model, noise, sigmas, extra_args=None, callback=None, disable=None):
        seen.append(model(x, SIGMA * x.new_ones(len(x)), **extra_args))
        return x

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(3.0)
    none = torch.zeros_like(x)
    guider.sample(none, none, comfy.samplers.KSAMPLER(step), torch.tensor([SIGMA, 0.0]), disable_pbar=True, seed=0)
    return seen[0]


def check_windowed(model, levels, negative, x, at_once=None):
    """Levels cut into windows are what each of them is alone, cut into windows."""
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), weights="gaussian", grid=2)
    model = with_settings(model, windows=windows)
    alone = torch.cat([windowed(model, level, negative, row[None]) for level, row in zip(levels, x, strict=True)])
    patched, batches = model.clone(), LevelBatches(len(levels))
    batches._batches._most = at_once
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "zoom", batches)
    actual = windowed(patched, of_all_levels(levels), negative, x)
    torch.testing.assert_close(actual, alone, rtol=0, atol=1e-5 * alone.abs().max().item())


@pytest.mark.parametrize("at_once", [None, 2])
def test_levels_cut_into_windows(family, at_once):
    name, model = family
    levels = [text(name, seed) for seed in range(3)]
    check_windowed(model, levels, text(name, 9), stack(name, 3, width=32), at_once)


@pytest.mark.parametrize("at_once", [None, 2])
def test_controlnets_and_masks_on_windows_of_levels(at_once):
    """Hints are cut for all rows of the windows; a call for some of the rows takes its own."""
    net, mask = control_net().set_cond_hint(rand(1, 3, 128, 256)), torch.zeros(1, 128, 256)
    mask[..., :96] = 1
    levels = [prompt(1, control=net), prompt(2) + prompt(4, mask=mask), prompt(3, control=net)]
    check_windowed(tiny_models.sd15(), levels, prompt(9), stack("sd15", 3, width=32), at_once)


def test_memory_decides_how_many_levels_go_into_a_call(monkeypatch):
    model = tiny_models.sd15()
    levels, x = [prompt(seed) for seed in range(6)], stack("sd15", 6)
    expected, _ = together(model, levels, prompt(9), x)
    row = model.model.memory_required([1, *x.shape[1:]])
    monkeypatch.setattr(model.model, "memory_required", lambda shape, cond_shapes=None: shape[0] * row)
    monkeypatch.setattr(type(model), "get_free_memory", lambda *_: 7 * row)
    actual, rows = together(model, levels, prompt(9), x)
    assert rows == [4, 4, 4]  # two levels, cond and uncond: 4 rows at 1.5 times their memory
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_an_out_of_memory_error_halves_the_batch():
    model = tiny_models.sd15()
    levels, x = [prompt(seed) for seed in range(5)], stack("sd15", 5)
    expected, _ = together(model, levels, prompt(9), x)

    def short_of_memory(apply, args):
        if len(args["input"]) > 4:
            raise torch.cuda.OutOfMemoryError("no")
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(short_of_memory)
    batches = LevelBatches(5)
    actual = predict(model, of_all_levels(levels), prompt(9), x, SIGMA, lambda _, *call: batches(*call))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_hint_for_every_row_needs_one_call():
    model = tiny_models.sd15()
    net = control_net().set_cond_hint(rand(3, 3, 128, 128))
    levels = [prompt(1, control=net), prompt(2, control=net), prompt(3)]
    with pytest.raises(ValueError, match=r"levels: a ControlNet has several hint images.*of its own"):
        together(model, levels, prompt(9), stack("sd15", 3))


def test_a_controlnet_that_also_applies_to_the_negative_prompt_is_refused():
    levels = [prompt(1), prompt(2, control=control_net(), control_apply_to_uncond=True)]
    with pytest.raises(ValueError, match=r"levels: level 1 has .*\(OLD\).*use Apply ControlNet\."):
        of_all_levels(levels)

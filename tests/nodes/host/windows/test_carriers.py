"""Masks and pictures that lie in patches of the model: windows see their part, the patches are left as they were."""

import functools
from functools import cache
from types import SimpleNamespace

import comfy.hooks
import comfy.utils
import pytest
import tiny_models
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.ldm.supir.supir_patch import SUPIRPatch
from comfy_extras.nodes_freelunch import FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_nag import NAGuidance
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_tomesd import TomePatchModel
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, crop
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.nodes.host.windows.carriers import Carriers
from joint_diffusion.nodes.host.windows.patch import with_settings
from sampling_run import lively, run
from tiny_models import prompt
from window_run import sampled_by_hand

pytestmark = pytest.mark.usefixtures("inference_mode")

CANVAS, CFG = Size(8, 16), 4.0
WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4), weights="gaussian", grid=2)
SIGMAS = torch.tensor([14.0, 2.0, 0.5])
SHAPE = (1, 4, *CANVAS)
CPU = torch.device("cpu")
BLOCK = ("middle", 0, 0)


@cache
def sd15():
    return lively(tiny_models.sd15())


def rand(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def masked_attention(q, k, v, extra_options, mask, strength=8.0):
    """As image adapters use a mask: brought to the size that the attention has in the picture the model is shown."""
    height, width = extra_options["original_shape"][-2:]
    across = round((q.shape[1] * height / width) ** 0.5)
    fitted = torch.nn.functional.interpolate(mask.unsqueeze(1), (across, q.shape[1] // across), mode="bilinear")
    rows = len(q) // len(extra_options["cond_or_uncond"])
    fitted = torch.cat([fitted, fitted[-1:].repeat(rows, 1, 1, 1)])[:rows] if len(fitted) < rows else fitted[:rows]
    weight = fitted.flatten(1).unsqueeze(-1).repeat(len(extra_options["cond_or_uncond"]), 1, 1)
    out = optimized_attention(q, k, v, extra_options["n_heads"])
    return out + strength * weight * out.flip(-1)


class OfArguments:
    """A patch that keeps what it was made with in a list of dicts, one for each time that it was applied."""

    def __init__(self, **arguments):
        self.arguments = [arguments]

    def __call__(self, q, k, v, extra_options):
        return masked_attention(q, k, v, extra_options, **self.arguments[0])


class OfLists:
    """A patch with a list for everything, and a method that is called."""

    def __init__(self, mask):
        self.masks, self.weights = [mask], [8.0]

    def attend(self, q, k, v, extra_options):
        return masked_attention(q, k, v, extra_options, self.masks[0], self.weights[0])


def of_a_closure(mask):
    def attend(q, k, v, extra_options):
        return masked_attention(q, k, v, extra_options, mask)

    return attend


def of_an_object_in_a_closure(mask):
    held = OfLists(mask)

    def attend(q, k, v, extra_options):
        return held.attend(q, k, v, extra_options)

    return attend


def of_a_list_of_functions(mask):
    held = SimpleNamespace(steps=[of_a_closure(mask)])

    def attend(q, k, v, extra_options):
        return held.steps[0](q, k, v, extra_options)

    return attend


FORMS = {
    "arguments": lambda mask: OfArguments(mask=mask, strength=8.0),
    "lists": lambda mask: OfLists(mask).attend,
    "closure": of_a_closure,
    "object in a closure": of_an_object_in_a_closure,
    "list of functions": of_a_list_of_functions,
    "partial": lambda mask: functools.partial(masked_attention, mask=mask),
    "object in a partial": lambda mask: functools.partial(OfLists.attend, OfLists(mask)),
}


def patched(mask, form="arguments", model=None):
    model = (model or sd15()).clone()
    model.set_model_attn2_replace(FORMS[form](mask), *BLOCK)
    return model


def prompts():
    return prompt(1), prompt(2)


def found(model, shape=SHAPE, windows=WINDOWS, **settings):
    model = with_settings(model, windows=windows, **settings)
    return run(model, torch.zeros(shape), steps=2, cfg=CFG, prompt=prompts(), sigmas=SIGMAS)


def on(canvas, mask):
    """The mask in pixels of a canvas, 8 for each cell."""
    return comfy.utils.common_upscale(mask.unsqueeze(1), *reversed(canvas.scaled(8)), "bilinear", "disabled").squeeze(1)


SETTINGS = {
    "overlapping": {},
    "wrap": {"wrap": Wrap(x=True)},
    "moving": {"moving": True, "seed": 1},
    "multi-scale": {"multiscale": MultiScaleParams(scales=2)},
}


def check(patch, whole, shape=SHAPE, settings="overlapping", part=None, model=sd15, sigmas=SIGMAS, cfg=CFG, **more):
    """The run of a model with `patch(model, whole)` against a loop in which each window's model has its part alone."""
    changes = dict(SETTINGS[settings])
    multiscale = changes.pop("multiscale", None)
    windows = WindowParams(**{**vars(WINDOWS), **changes})

    def of_window(window, canvas):
        return patch(model(), part(window, canvas)), *prompts()

    params = JointParams(windows=windows, multiscale=multiscale)
    expected = sampled_by_hand(of_window, params, shape, sigmas, cfg)
    joint = with_settings(patch(model(), whole), windows=windows, multiscale=multiscale)
    result = run(joint, torch.zeros(shape), steps=2, cfg=cfg, prompt=prompts(), sigmas=sigmas)
    size = expected.abs().max()
    error = (result - expected).abs().max()
    assert error < 1e-4 * size
    bare = with_settings(model(), windows=windows, multiscale=multiscale)
    without = run(bare, torch.zeros(shape), steps=2, cfg=cfg, prompt=prompts(), sigmas=sigmas)
    assert (result - without).abs().max() > max(1e-3 * size, 10 * error), "the patch does nothing"


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_is_cut_wherever_a_patch_keeps_it(form):
    mask = rand(1, *CANVAS.scaled(8))
    check(
        lambda model, part: patched(part, form, model),
        mask,
        part=lambda window, canvas: crop(mask, window.scaled(8)),
    )


@pytest.mark.parametrize("settings", [*SETTINGS][1:])
def test_a_mask_is_cut_for_all_windows_of_all_scales(settings):
    mask = rand(1, *CANVAS.scaled(8))

    def part(window, canvas):
        per_cell = 8 * CANVAS.width // canvas.width  # a mask in pixels is not made smaller: the patch does that
        return crop(mask, window.scaled(per_cell))

    check(lambda model, part: patched(part, "arguments", model), mask, settings=settings, part=part)


@pytest.mark.parametrize("size", [(8, 16), (4, 8), (65, 126), (128, 256)], ids=str)
def test_a_mask_of_any_size_lies_on_the_whole_canvas(size):
    """In its proportions, up to a cell."""
    mask = rand(1, *size)
    per_cell = max(1, round(max(size[0] / 8, size[1] / 16)))
    whole = torch.nn.functional.interpolate(mask[None], CANVAS.scaled(per_cell), mode="bilinear")[0]
    check(
        lambda model, part: patched(part, "arguments", model),
        mask,
        part=lambda window, canvas: crop(whole, window.scaled(per_cell)),
    )


def test_a_mask_for_each_picture():
    masks = rand(2, *CANVAS.scaled(8))
    check(
        lambda model, part: patched(part, "lists", model),
        masks,
        shape=(2, *SHAPE[1:]),
        part=lambda window, canvas: crop(masks, window.scaled(8)),
    )


@pytest.mark.parametrize("per_cell", [1, 8])
@pytest.mark.parametrize("settings", ["overlapping", "multi-scale"])
def test_a_mask_of_truths(per_cell, settings):
    mask = rand(1, *CANVAS.scaled(per_cell)) > 0.5

    def patch(model, part):
        model = model.clone()

        def attend(q, k, v, extra_options):
            return masked_attention(q, k, v, extra_options, part_mask.float())

        part_mask = part
        model.set_model_attn2_replace(attend, *BLOCK)
        return model

    def part(window, canvas):
        if per_cell == 1:  # the nearest of 2 x 2 on the coarse canvas
            return crop(mask if canvas == CANVAS else mask[..., 1::2, 1::2], window)
        return crop(mask, window.scaled(mask.shape[-1] // canvas.width))

    check(patch, mask, settings=settings, part=part)


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_a_wrapper_of_the_model_adds_is_cut(settings):
    """A latent as large as the canvas, in a variable of the function that other packs put around the model."""
    light = rand(*SHAPE)

    def patch(model, part):
        model = model.clone()

        def around(apply_model, call):
            x = call["input"]
            return apply_model(x + 5 * part.repeat(len(x) // len(part), 1, 1, 1), call["timestep"], **call["c"])

        model.set_model_unet_function_wrapper(around)
        return model

    def part(window, canvas):
        return crop(light if canvas == CANVAS else downsample(light, 2), window)

    check(patch, light, settings=settings, part=part)


def brightened(light):
    model = sd15().clone()

    def around(apply_model, call):
        x = call["input"]
        return apply_model(x * (1 + light), call["timestep"], **call["c"]) * light

    model.set_model_unet_function_wrapper(around)
    return model


@pytest.mark.parametrize(
    ("patch", "whole"), [(patched, rand(1, *CANVAS.scaled(8))), (brightened, rand(*SHAPE))], ids=["mask", "latent"]
)
def test_guidance_by_gradients(patch, whole):
    """What a node makes is made in inference mode, and autograd saves what it is multiplied with."""
    sync = SyncParams(weight=0.05, guidance="gradient")
    guided = found(patch(whole), sync=sync)
    assert guided.isfinite().all()
    assert not torch.equal(guided, found(patch(whole.flip(-1)), sync=sync))
    assert not torch.equal(guided, found(patch(whole)))


def test_patches_of_hooks_in_the_conditioning_are_cut():

    mask = rand(1, *CANVAS.scaled(8))

    def hooked(part):
        patches = {"patches_replace": {"attn2": {BLOCK: OfArguments(mask=part)}}}
        hooks = comfy.hooks.HookGroup()
        hooks.add(comfy.hooks.TransformerOptionsHook(patches, comfy.hooks.EnumHookScope.HookedOnly))
        return prompt(1, hooks=hooks), prompt(2)

    def of_window(window, canvas):
        return sd15(), *hooked(crop(mask, window.scaled(8)))

    expected = sampled_by_hand(of_window, JointParams(windows=WINDOWS), SHAPE, SIGMAS, CFG)
    joint = with_settings(sd15(), windows=WINDOWS)
    result = run(joint, torch.zeros(SHAPE), steps=2, cfg=CFG, prompt=hooked(mask), sigmas=SIGMAS)
    assert (result - expected).abs().max() < 1e-4 * expected.abs().max()
    bare = run(joint, torch.zeros(SHAPE), steps=2, cfg=CFG, prompt=prompts(), sigmas=SIGMAS)
    assert (result - bare).abs().max() > 1e-3 * expected.abs().max()


def test_patches_are_left_as_they_were_even_when_sampling_is_interrupted():
    mask = rand(1, *CANVAS.scaled(8))
    carrier = OfArguments(mask=mask)
    arguments = carrier.arguments
    model = sd15().clone()
    model.set_model_attn2_replace(carrier, *BLOCK)
    found(model)
    assert carrier.arguments is arguments
    assert arguments[0]["mask"] is mask

    class Stopped(Exception):
        pass

    def stop(apply_model, call):
        assert carrier.arguments[0]["mask"].shape == (1, 64, 64)
        raise Stopped

    model.set_model_unet_function_wrapper(stop)
    with pytest.raises(Stopped):
        found(model)
    assert carrier.arguments is arguments


def test_windows_share_a_call_where_nothing_is_to_be_cut():
    rows = []

    def count(apply_model, call):
        rows.append(len(call["input"]))
        return apply_model(call["input"], call["timestep"], **call["c"])

    for mask, expected in ((None, 6), (rand(1, 64, 128), 2)):
        rows.clear()
        model = sd15().clone()
        model.set_model_attn2_replace(OfArguments(mask=mask) if mask is not None else attend, *BLOCK)
        model.set_model_unet_function_wrapper(count)
        found(model)
        assert set(rows) == {expected}


def attend(q, k, v, extra_options):
    return optimized_attention(q, k, v, extra_options["n_heads"])


@pytest.mark.parametrize(("form", "name"), [("arguments", "OfArguments"), ("closure", "of_a_closure.attend")])
def test_a_mask_of_other_proportions_is_refused(form, name):
    message = (
        rf"cannot cut a mask of {name} \(.*test_carriers\) to windows: 'mask' has 64 x 64 values, and a mask needs the "
        r"proportions of the canvas, 16 x 8 latent cells\. Make the mask as large as the canvas, or remove it"
    )
    with pytest.raises(ValueError, match=message):
        found(patched(rand(1, 64, 64), form))


class Holder:
    """Holds something, and leaves the attention as it is."""

    def __init__(self, **values):
        vars(self).update(values)

    def __call__(self, q, k, v, extra_options):
        return attend(q, k, v, extra_options)


class Layer(torch.nn.Module):
    """As LLLite does: each of many small networks keeps the picture that it was given."""

    def __init__(self, picture):
        super().__init__()
        self.weight = torch.nn.Parameter(rand(2, 3, 4, 4))
        self.picture = picture


def holding_in_a_closure(**values):
    picture = values["picture"]

    def attend(q, k, v, extra_options):
        return optimized_attention(q, k, v, extra_options["n_heads"]) + 0 * picture.mean()

    return attend


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (lambda picture: Holder(image=picture), r"Holder .*'image' of shape \(1, 64, 128, 3\)"),
        (lambda picture: Holder(layers={"a": Layer(picture)}), r"Layer .*'picture'"),
        (lambda picture: holding_in_a_closure(picture=picture), r"holding_in_a_closure.attend .*'picture'"),
    ],
    ids=["object", "network", "closure"],
)
def test_a_picture_that_only_its_patch_can_read_is_refused(holder, name):
    model = sd15().clone()
    model.set_model_attn1_replace(holder(rand(1, 64, 128, 3)), *BLOCK)
    message = rf"cannot cut the picture that {name}.*every window would see all of it\. Use a ControlNet"
    with pytest.raises(ValueError, match=message):
        found(model)


@pytest.mark.parametrize(
    "holder",
    [
        lambda: Holder(weights=rand(1, 8), embeds=rand(1, 4, 64), scale=2.0),
        lambda: Holder(layers={"a": torch.nn.Conv2d(3, 3, 3)}),
        lambda: Holder(kept={"a": rand(1, 2, 16, 8)}),
        lambda: Holder(text_mask=rand(1, 77)),
        lambda: holding_in_a_closure(picture=rand(1, 8, 32, 32)),  # attention of eight heads, kept from another run
    ],
    ids=["numbers", "weights", "state", "mask of tokens", "attention"],
)
def test_what_has_no_place_in_the_picture_goes_unnoticed(holder):
    model = sd15().clone()
    model.set_model_attn1_replace(holder(), *BLOCK)
    found(model)


def test_what_a_wrapper_of_the_model_remembers_is_no_picture():
    """It has been told latents of other canvases."""
    wrapper = Holder(last=rand(1, 4, 12, 12))
    assert not Carriers({"model_function_wrapper": wrapper}, CANVAS).one_by_one
    with pytest.raises(ValueError, match="cannot cut the picture"):
        Carriers({"transformer_options": {"patches": {"attn1_patch": [wrapper]}}}, CANVAS)


NODES = {
    "SAG": lambda model: SelfAttentionGuidance.execute(model, 0.5, 2.0).args[0],
    "PAG": lambda model: PerturbedAttentionGuidance.execute(model, 3.0).args[0],
    "FreeU": lambda model: FreeU_V2.execute(model, 1.1, 1.1, 0.9, 0.9).args[0],
    "HyperTile": lambda model: HyperTile.execute(model, 32, 2, 1, False)[0],
    "ToMe": lambda model: TomePatchModel.execute(model, 0.3).args[0],
    "downscale": lambda model: PatchModelAddDownscale.execute(
        model, 1, 2.0, 0.0, 0.35, True, "bicubic", "bicubic"
    ).args[0],
    "NAG": lambda model: NAGuidance.execute(model, 3.0, 0.5, 2.5).args[0],
}


@pytest.mark.parametrize("name", NODES)
def test_patches_of_comfyui_that_hold_no_picture_go_unnoticed(name):
    """Also in a second run, when they remember the first one. Windows share their calls."""
    model = NODES[name](sd15())
    found(model)
    assert not Carriers(model.model_options, CANVAS).one_by_one
    assert not Carriers(model.model_options, Size(8, 8)).one_by_one  # the size of what they remember
    found(model)


def test_the_control_of_supir_is_cut():
    """ComfyUI's own patch, without its network: its latent lies on the canvas."""
    hint = rand(1, 4, *CANVAS)
    patch, model = SUPIRPatch(None, [], hint, 1.0, 1.0), sd15().clone()
    patch.register(model)
    carriers = Carriers(model.model_options, CANVAS)
    assert carriers.one_by_one
    window = Window(0, 12, 8, 8)  # wraps
    with carriers.cut([window], CANVAS, CPU):
        assert torch.equal(patch.hint_latent, crop(hint, window))
    with carriers.cut([Window(0, 4, 4, 4)], Size(4, 8), CPU):
        assert torch.equal(patch.hint_latent, crop(downsample(hint, 2), Window(0, 4, 4, 4)))
    assert patch.hint_latent is hint
    SUPIRPatch(None, [], rand(1, 4, 8, 8), 1.0, 1.0).register(model)
    with pytest.raises(ValueError, match=r"cannot cut the picture that SUPIRPatch .*'hint_latent'"):
        Carriers(model.model_options, CANVAS)

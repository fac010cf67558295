"""What is sent to a worker, and what is not: nodes, options, and whether two models are the same."""

from types import SimpleNamespace

import comfy.patcher_extension
import pytest
import tiny_models
import torch
from comfy_execution.graph import DynamicPrompt
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.workers.parcel import CannotBeSent, require_sendable
from joint_diffusion.nodes.host.gradients.vae import load_along
from joint_diffusion.nodes.host.windows.elsewhere import elsewhere_of
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.workers.likeness import difference, likeness
from joint_diffusion.nodes.host.workers.subgraph import upstream
from joint_diffusion.nodes.host.workers.told import options_of, own, told

WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4))


def attend(q, k, v, extra_options):
    return q, k, v


def again(q, k, v, extra_options):
    return q, k, v


def patched(function=attend):
    model = tiny_models.sd15()
    model.set_model_attn1_patch(function)
    model.set_model_attn2_replace(function, "middle", 0, 0)
    return model


def test_the_nodes_of_a_model_without_those_that_it_does_not_need():
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}

    nodes = {
        "1": node("Loader", name="a"),
        "2": node("LoraLoader", model=["1", 0], clip=["1", 1], strength=0.5),
        "3": node("RayWorkers", model=["2", 0], address="", workers=1),
        "4": node("PanoramaWindows", model=["3", 0], overlap=0.5),
        "5": node("RayWorkers", model=["4", 0], address="", workers=2),
        "6": node("KSampler", model=["5", 0]),
    }
    prompt, link = upstream(DynamicPrompt(nodes), "5")
    assert link == ["4", 0]
    assert prompt == {
        "1": {"class_type": "Loader", "inputs": {"name": "a"}},
        "2": {"class_type": "LoraLoader", "inputs": {"model": ["1", 0], "clip": ["1", 1], "strength": 0.5}},
        "4": {"class_type": "PanoramaWindows", "inputs": {"model": ["2", 0], "overlap": 0.5}},
    }


def test_a_worker_uses_its_own_patches_and_what_is_new_and_plain():
    here, there = patched(), patched(again)  # the same nodes, run in another process
    options = options_of(with_settings(here, windows=WINDOWS))
    options["transformer_options"]["sample_sigmas"] = sigmas = torch.tensor([3.0, 0.0])
    options["sampler_cfg_function"] = lambda args: args  # acts on canvases
    said = told(options, options_of(here))
    require_sendable(said)
    found = own(said, options_of(there))["transformer_options"]
    assert found["patches"]["attn1_patch"] == [again]
    assert found["patches_replace"]["attn2"]["middle", 0, 0] is again
    assert found["sample_sigmas"] is sigmas
    assert not [kind for kind, held in found["wrappers"].items() if held]  # the pack's own act here
    assert "joint_diffusion" not in found


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.set_model_attn1_patch(again),
        lambda model: model.set_model_unet_function_wrapper(lambda apply, args: apply(args["input"])),
        lambda model: model.add_wrapper(comfy.patcher_extension.WrappersMP.APPLY_MODEL, lambda *args: None),
    ],
)
def test_a_patch_of_which_the_worker_does_not_know_is_named(change):
    here = patched()
    later = here.clone()
    change(later)
    with pytest.raises(CannotBeSent, match=r"(attn1_patch/1|model_function_wrapper|apply_model).* is of this process"):
        told(options_of(later), options_of(here))


def test_a_patch_in_place_of_another_is_not_taken_for_it():
    here, later = patched(), patched(again)
    with pytest.raises(CannotBeSent, match="attn1_patch/0"):
        told(options_of(later), options_of(here))


def test_models_that_are_made_alike_are_alike_in_any_precision():
    assert difference(likeness(patched()), likeness(patched())) is None
    assert difference(likeness(patched()), likeness(tiny_models.sd15())) is not None
    half = likeness(tiny_models.sd15(dtype=torch.bfloat16))
    assert difference(likeness(tiny_models.sd15()), half) is None


def with_lora(strength, scale=1.0):
    model = tiny_models.sd15()
    weights = {name: scale * weight for name, weight in tiny_models.lora_weights(model).items()}
    loaded = comfy.lora.load_lora(weights, comfy.lora.model_lora_keys_unet(model.model, {}))
    model.add_patches(loaded, strength)
    return model


def other_weights():
    model = tiny_models.sd15()
    with torch.no_grad():
        for weight in model.model.diffusion_model.parameters():
            weight.mul_(1.05)
    return model


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (tiny_models.sd15, "other patches"),
        (lambda: with_lora(0.6), "other patches"),
        (lambda: with_lora(0.5, scale=1.1), "other patches"),
        (tiny_models.sdxl, "other weights"),
    ],
)
def test_another_lora_or_another_model_is_seen(other, what):
    assert difference(likeness(with_lora(0.5)), likeness(with_lora(0.5))) is None
    assert what in difference(likeness(with_lora(0.5)), likeness(other()))


def test_other_weights_of_the_same_shapes_are_seen():
    assert "other weights" in difference(likeness(tiny_models.sd15()), likeness(other_weights()))


@pytest.mark.parametrize("half", [0, 1])
def test_a_model_that_differs_in_half_of_its_weights_is_seen(half):
    """Such as a merge of two models, of which one has written a part of a joined projection."""
    model = tiny_models.sd15()
    with torch.no_grad():
        for weight in model.model.diffusion_model.parameters():
            weight.chunk(2)[half].mul_(1.05)
    assert "other weights" in difference(likeness(tiny_models.sd15()), likeness(model))


def test_a_model_is_like_itself_while_its_weights_are_patched():
    model = with_lora(0.5)
    before = likeness(model)
    comfy.model_management.load_models_gpu([model])
    assert difference(likeness(model), before) is None
    comfy.model_management.unload_all_models()


class NoWorkers:
    """Stands in for the workers of a model, which have no process."""

    count, prepare = 1, staticmethod(lambda: None)

    def __init__(self, model):
        self.model = model


def test_a_vae_of_guidance_is_not_missing_in_a_worker(caplog):
    """Structure Guidance, Joint Upscale and Sync Guidance load it along, in front of Ray Workers or behind."""
    model, vae = tiny_models.sd15(), tiny_models.vae()
    guided, other = model.clone(), model.clone()
    load_along(guided, vae)
    other.set_additional_models("another pack", [vae.patcher])
    for before, now, shared in ((model, guided, True), (guided, model, True), (model, other, False)):
        guider = SimpleNamespace(conds={}, model_patcher=now)
        assert bool(elsewhere_of(NoWorkers(before), guider, has_carriers=False)) == shared
    assert "add models to it; put Ray Workers behind them" in caplog.text

"""Reference latents: those as large as the canvas are cut to the window, others are shown to every window whole."""

from dataclasses import replace
from functools import cache

import comfy.model_management
import comfy.sample
import pytest
import tiny_models
import torch
from comfy_extras.nodes_edit_model import ReferenceLatent
from comfy_extras.nodes_flux import FluxKVCache
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, crop, crop_batch
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.windows.patch import with_settings
from sampling_run import POOLED, lively, run
from tiny_models import prompt
from window_run import predict, predict_views, sampled_by_hand

pytestmark = pytest.mark.usefixtures("inference_mode")

CANVAS, WINDOW = Size(16, 48), Window(0, 4, 16, 16)
WINDOWS = tuple(Window(0, left, 16, 16) for left in (0, 16, 40))  # the last one wraps
SHAPES = {"flux": (16,), "qwen_image": (16, 1), "z_image": (16,)}


@cache
def model_of(family):
    return lively(getattr(tiny_models, family)())


def noise(*shape, seed=9, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def latent_of(family, size, seed=9, rows=1):
    return noise(rows, *SHAPES[family], *size, seed=seed)


def prompts_with(family, *references, **options):
    """Positive and negative prompt, with references in the first as the node sets them."""
    if family in POOLED:
        options["pooled_output"] = torch.linspace(-1, 1, POOLED[family])[None]
    positive = prompt(1, **options)
    for reference in references:
        (positive,) = ReferenceLatent.execute(positive, {"samples": reference}).args
    return positive, prompt(2, **options)


def assert_same(actual, expected, rtol=2e-6):
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * expected.abs().max().item())


@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("rows", [1, 2], ids=["one reference", "one for each picture"])
@pytest.mark.parametrize("factor", [1, 2], ids=["canvas", "coarse canvas"])
def test_a_window_is_shown_its_part(family, rows, factor):
    """Exactly: what the host makes of the window alone, with reference and noise cropped; in one batch with others."""
    model, x, reference = model_of(family), latent_of(family, CANVAS, 1, 2), latent_of(family, CANVAS, 2, rows)
    windows = WINDOWS if factor == 1 else [Window(0, 0, 8, 8), Window(0, 20, 8, 8)]
    together = predict_views(model, *prompts_with(family, reference), x, 0.7, windows, factor=factor)
    small = reference if factor == 1 else downsample(reference, factor)
    canvas = x if factor == 1 else downsample(x, factor)
    for number, window in enumerate(windows):
        native = prompts_with(family, crop(small, window))
        expected = predict(model, *native, crop(canvas, window).contiguous(), 0.7)
        assert_same(together[:, 2 * number : 2 * number + 2], expected)
    blind = predict(model, *prompts_with(family), crop(canvas, windows[0]).contiguous(), 0.7)
    assert (together[:, :2] - blind).abs().max() > 1e-3 * blind.abs().max()


def test_the_model_receives_the_parts_and_no_more():
    model, reference, shown = tiny_models.flux(), latent_of("flux", CANVAS), []

    def spy(apply_model, call):
        shown.append(call["c"].get("ref_latents"))
        return apply_model(call["input"], call["timestep"], **call["c"])

    model.set_model_unet_function_wrapper(spy)
    predict_views(model, *prompts_with("flux", reference), latent_of("flux", CANVAS, 3), 0.7, WINDOWS)
    ((parts,),) = [references for references in shown if references is not None]
    assert torch.equal(parts, crop_batch(model.model.process_latent_in(reference), WINDOWS))


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *(("flux", method) for method in (None, "index", "uxo")),
        ("qwen_image", None),
        ("qwen_image", "index_timestep_zero"),
    ],
)
def test_a_reference_of_another_size_is_shown_whole(family, method):
    """Beside one that is cut: a sheet of a character, or an object."""
    options = {} if method is None else {"reference_latents_method": method}
    model, x = model_of(family), latent_of(family, CANVAS, 1, 2)
    picture, sheet = latent_of(family, CANVAS, 2), latent_of(family, (12, 8), 3, rows=3)
    together = predict_views(model, *prompts_with(family, picture, sheet, **options), x, 0.7, WINDOWS)
    for number, window in enumerate(WINDOWS):
        native = prompts_with(family, crop(picture, window), sheet, **options)
        expected = predict(model, *native, crop(x, window).contiguous(), 0.7)
        assert_same(together[:, 2 * number : 2 * number + 2], expected)


@pytest.mark.parametrize("size", [(16, 24), (8, 48), (32, 96)], ids=str)
def test_only_a_reference_of_the_same_cells_is_cut(size):
    reference, x = latent_of("flux", size), latent_of("flux", CANVAS, 1)
    views = predict_views(model_of("flux"), *prompts_with("flux", reference), x, 0.7, WINDOWS)
    native = predict(model_of("flux"), *prompts_with("flux", reference), crop(x, WINDOWS[1]).contiguous(), 0.7)
    assert_same(views[:, 1:2], native)


PARAMS = WindowParams(window=Size(8, 8), stride=Size(4, 4), weights="gaussian", grid=2)


@pytest.mark.parametrize("family", ["flux", "qwen_image"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"wrap": Wrap(x=True)}, {"moving": True, "seed": 1}, {"multiscale": MultiScaleParams(scales=2)}],
    ids=["overlapping", "wrap", "moving", "multi-scale"],
)
def test_a_whole_run_equals_a_literal_loop(family, settings):
    canvas = Size(8, 16)
    multiscale = settings.get("multiscale")
    windows = WindowParams(**{**vars(PARAMS), **{k: v for k, v in settings.items() if k != "multiscale"}})
    model, reference = model_of(family), latent_of(family, canvas, 2)
    whole = model.model.process_latent_in(reference)

    def of_window(window, size):
        part = crop(whole if size == canvas else downsample(whole, 2), window)
        return model, *prompts_with(family, model.model.process_latent_out(part))

    shape, sigmas = (1, *SHAPES[family], *canvas), torch.tensor([1.0, 0.6, 0.3])
    params = JointParams(windows=windows, multiscale=multiscale)
    expected = sampled_by_hand(of_window, params, shape, sigmas, 4.0)
    joint = with_settings(model, windows=windows, multiscale=multiscale)

    def found(*references):
        options = {"prompt": prompts_with(family, *references), "sigmas": sigmas}
        return run(joint, torch.zeros(shape), steps=2, cfg=4.0, **options)

    error = (found(reference) - expected).abs().max()
    assert error < 1e-4 * expected.abs().max()
    assert (found() - expected).abs().max() > max(1e-3 * expected.abs().max(), 10 * error)


@pytest.mark.parametrize(("window", "width"), [(8, 32), (16, 32), (8, 40)])
def test_the_host_is_asked_for_the_memory_of_a_window(monkeypatch, window, width):
    """Before the run and in it: a reference of the whole canvas would unload models, and make the batches small."""
    asked, load = [], comfy.model_management.load_models_gpu

    def record(models, memory_required=0, **options):
        asked.append((memory_required, options["minimum_memory_required"]))
        return load(models, memory_required=memory_required, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", record)
    reference, latent = latent_of("flux", (8, width)), torch.zeros(1, 16, 8, 32)
    part = reference[..., :window] if width == 32 else reference  # of another size it is shown whole
    joint = with_settings(model_of("flux"), windows=replace(PARAMS, window=Size(8, window)))
    run(joint, latent, steps=1, prompt=prompts_with("flux", reference))
    run(model_of("flux"), latent[..., :window], steps=1, prompt=prompts_with("flux", part))
    assert asked[0] == asked[1] > (0, 0)


def test_as_many_windows_share_a_call_as_without_the_rest_of_the_reference(monkeypatch):
    patcher, rows = tiny_models.flux(), []
    needed = patcher.model.memory_required([4 * 2, 16, 8, 8], {"ref_latents": [[4, 16, 64], [4, 16, 64]]})
    monkeypatch.setattr(type(patcher), "get_free_memory", lambda self, device: needed * 1.5 + 1)

    def count(apply_model, call):
        rows.append(len(call["input"]))
        return apply_model(call["input"], call["timestep"], **call["c"])

    patcher.set_model_unet_function_wrapper(count)
    windows = WindowParams(window=Size(8, 8), stride=Size(8, 8), grid=2)
    both, _ = prompts_with("flux", latent_of("flux", (8, 32)))
    run(with_settings(patcher, windows=windows), torch.zeros(1, 16, 8, 32), steps=1, prompt=(both, both))
    assert rows == [8]  # four windows, positive and negative


def test_a_cache_of_references_is_refused_where_they_are_cut():
    model = with_settings(FluxKVCache.execute(tiny_models.qwen_image()).args[0], windows=PARAMS)
    latent, small = latent_of("qwen_image", (8, 16)), latent_of("qwen_image", (8, 8))
    message = r"cannot be combined with Flux KV Cache where a reference latent is as large .* Remove Flux KV Cache"
    with pytest.raises(ValueError, match=message):
        run(model, latent, steps=1, prompt=prompts_with("qwen_image", latent))
    assert run(model, latent, steps=1, prompt=prompts_with("qwen_image", small)).isfinite().all()

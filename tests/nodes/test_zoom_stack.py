"""Zoom Stack Sampler on the host: pictures of the bundled model, and tiny models of every family."""

import gc

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.sampler_helpers
import comfy.sd
import comfy.supported_models
import comfy_extras.nodes_easycache
import latent_preview
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.powers_of_ten import blend, render_image
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.zoom.one_space import joined_in_one_space
from joint_diffusion.nodes.host.demo_model import LandscapeVAE, demo_clip, demo_model
from joint_diffusion.nodes.host.joined import level_blending
from joint_diffusion.nodes.host.joined.level_blending import (
    WORKING_STACKS,
    StackBlender,
    ZoomBlending,
    where_there_is_room,
)
from joint_diffusion.nodes.host.joined.sampling import contact_sheet
from joint_diffusion.nodes.host.latents import scale_map_of
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.zoom_prompts import StackPrompts, ZoomPrompts
from joint_diffusion.nodes.zoom_stack_sampler import ZoomStackSampler
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")

P = 2


@pytest.fixture(scope="module")
def demo():
    """MODEL, ZOOM_PROMPTS of three levels, VAE."""
    clip = demo_clip()
    (stack, *_) = ZoomPrompts.execute(
        clip, "own prompts", "far forest lake, summer day\nwide forest, summer day\nnear forest, summer day", "", 0
    ).result
    return demo_model(), stack, LandscapeVAE()


def sample(model, stack, vae, **changes):
    """LATENT and IMAGE of the node."""
    values = {
        "seed": 1,
        "steps": 4,
        "cfg": 2.0,
        "sampler_name": "euler_ancestral",
        "scheduler": "karras",
        "denoise": 1.0,
        "width": 0,
        "height": 0,
        "blending": "pixel",
    }
    return ZoomStackSampler.execute(model, stack, vae, **{**values, **changes}).result


def assert_levels_agree(image):
    assert image.min() >= 0
    assert image.max() <= 1
    levels = image.movedim(-1, 1)
    difference = render_image(levels, P, pixels_per_cell=8, decoded=True).clamp(0, 1) - levels
    assert difference.abs().mean() < 2e-4, "only where a sum of bands was clipped may they differ"


def psnr(image, expected):
    return -10 * torch.log10((image - expected).square().mean()).item()


@pytest.mark.parametrize("blending", ["pixel", "latent", "mixed"])
def test_each_level_is_the_centre_of_the_one_before(demo, blending):
    latent, image = sample(*demo, blending=blending)
    assert latent["samples"].shape == (3, 8, 16, 16)
    assert image.shape == (3, 128, 128, 3)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.05
    assert_levels_agree(image)


def test_levels_joined_in_latents_agree_as_latents(demo):
    """By the map between two scales, which the bundled model has."""
    levels = sample(*demo, blending="latent", sampler_name="dpm_fast")[0]["samples"]
    scale_map = scale_map_of(demo[0].model)
    rendered = joined_in_one_space(levels, P, scale_map, lambda common: render_image(common, P))
    torch.testing.assert_close(rendered, levels, rtol=0, atol=1e-4)
    assert not torch.allclose(render_image(levels, P), levels, atol=0.1), "without the map they do not"


def test_the_picture_is_what_the_latent_shows(demo):
    """Joined in pixels, the last step has left little for the final rendering to change."""
    _, _, vae = demo
    latent, image = sample(*demo, blending="pixel")
    assert psnr(vae.decode(latent["samples"]), image) > 25


def test_the_same_seed_is_the_same_stack(demo):
    first, second, other = (sample(*demo, seed=seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other, atol=0.05)


def test_one_model_call_a_step(demo):
    model, stack, vae = demo
    model, rows = counting(model)
    sample(model, stack, vae, sampler_name="euler", blending="latent")
    assert rows == [2 * len(stack.levels)] * 4


def counting(model):
    rows = []
    clone = model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    return clone, rows


@pytest.mark.parametrize("blending", ["pixel", "latent", "mixed"])
def test_the_outermost_level_shows_the_photograph(demo, blending):
    """With ten steps; without the photograph the same seed shows something else."""
    _, photograph = sample(*demo, seed=7, steps=6)
    photograph = photograph[:1]
    _, plain = sample(*demo, blending=blending, steps=10)
    _, zoom = sample(*demo, blending=blending, steps=10, photograph=photograph)
    assert psnr(zoom[:1], photograph) > psnr(plain[:1], photograph) + 8
    assert psnr(zoom[:1], photograph) > 24
    assert_levels_agree(zoom)
    none = sample(*demo, blending=blending, steps=10, photograph=photograph, photograph_steps=0)[1]
    torch.testing.assert_close(none, plain)


@pytest.mark.parametrize("blending", ["pixel", "latent"])
def test_transparency_that_the_vae_paints_is_kept(blending):
    prompts = StackPrompts([prompt(1), prompt(2)], prompt(3), ("a", "b"), P)
    vae = tiny_models.video_vae(transparent=True)
    latent, image = sample(
        tiny_models.qwen_image(), prompts, vae, blending=blending, steps=2, width=64, height=64, sampler_name="euler"
    )
    assert image.shape == (2, 64, 64, 4)
    shown = vae.decode(latent["samples"][:1]).reshape(64, 64, 4)
    assert shown[..., 3].std() > 0
    torch.testing.assert_close(image[0, :8, ..., 3], shown[:8, :, 3], rtol=0, atol=1e-3)


@pytest.mark.parametrize("blending", ["pixel", "latent", "mixed"])
def test_a_photograph_is_opaque_for_a_vae_that_paints_transparency(blending):
    prompts = StackPrompts([prompt(1), prompt(2)], prompt(3), ("a", "b"), P)
    vae, model, joined = tiny_models.video_vae(transparent=True), tiny_models.qwen_image(), []
    fit = level_blending.fit_photograph

    def watched(levels, photograph, *arguments, **options):
        joined.append((levels.shape, photograph))
        return fit(levels, photograph, *arguments, **options)

    options = {"steps": 2, "width": 64, "height": 64, "sampler_name": "euler", "photograph": torch.rand(1, 64, 64, 3)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level_blending, "fit_photograph", watched)
        _, image = sample(model, prompts, vae, blending=blending, **options)
    assert image.shape == (2, 64, 64, 4)
    in_pixels = [photograph for shape, photograph in joined if shape[1] == 4]
    assert len(joined) == 2
    assert bool(in_pixels) == (blending != "latent")
    for photograph in in_pixels:
        expected = 2 * options["photograph"][0].movedim(-1, 0) - 1
        torch.testing.assert_close(photograph[:3], expected, rtol=0, atol=0.01)  # the host resizes in 8 bits
        assert (photograph[3] == 1).all()


def test_a_photograph_is_cropped_to_the_proportions_of_a_level(demo):
    photograph = torch.zeros(1, 60, 180, 3)
    photograph[:, :, 60:120] = 1
    _, zoom = sample(*demo, steps=10, photograph=photograph)
    assert zoom[0].mean() > 0.8
    sample(*demo, steps=2, photograph=photograph, denoise=0.7)  # is not refused: there is something to start from


def test_a_finished_stack_can_be_refined(demo):
    latent, image = sample(*demo)
    _, refined = sample(*demo, latent_image=latent, denoise=0.4, seed=5)
    _, other = sample(*demo, seed=5)
    assert psnr(refined, image) > psnr(other, image) + 3
    assert not torch.allclose(refined, image, atol=0.02)
    assert_levels_agree(refined)
    kept, _ = sample(*demo, latent_image=latent, denoise=0.0)
    assert torch.equal(kept["samples"], latent["samples"])


def test_an_empty_latent_gives_the_size(demo):
    empty = {"samples": torch.zeros(1, 4, 16, 24), "downscale_ratio_spacial": 8}
    latent, _ = sample(*demo, latent_image=empty)
    assert latent["samples"].shape == (3, 8, 16, 24)
    same, _ = sample(*demo, width=192, height=128)
    assert torch.equal(latent["samples"], same["samples"])


def test_levels_wider_than_the_model_by_panorama_windows(demo):
    model, stack, vae = demo
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), weights="gaussian", grid=4)
    model, rows = counting(with_settings(model, windows=windows))
    _, image = sample(model, stack, vae, width=256)
    assert image.shape == (3, 128, 256, 3)
    assert_levels_agree(image)
    assert rows == [2 * 3 * 3] * 4  # cond and uncond, three windows, three levels


def test_odd_sizes_and_factors(demo):
    """Pixels nest as the latent cells do; the pictures are what the core makes of the decoded latents."""
    model, stack, vae = demo
    latent, image = sample(model, stack._replace(zoom_factor=3), vae, width=160, height=128)
    decoded = 2 * vae.decode(latent["samples"]).movedim(-1, 1) - 1
    layers = blend(decoded, 3, pixels_per_cell=8, decoded=True).clamp(-1, 1)
    expected = render_image(layers, 3, pixels_per_cell=8, decoded=True).clamp(-1, 1)
    torch.testing.assert_close(2 * image.movedim(-1, 1) - 1, expected, rtol=0, atol=1e-5)


FAMILIES = {"sd15": (4,), "sdxl": (4,), "flux": (16,), "qwen_image": (16, 1)}


@pytest.mark.parametrize("blending", ["pixel", "latent"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, blending):
    pooled = {"sdxl": 1280, "flux": 32}.get(family)
    options = {"pooled_output": torch.ones(1, pooled)} if pooled else {}
    stack = StackPrompts([prompt(seed, **options) for seed in (1, 2)], prompt(3, **options), ("far", "near"), P)
    channels, *time = FAMILIES[family]
    vae = tiny_models.video_vae() if time else tiny_models.vae(channels)
    model = getattr(tiny_models, family)()
    latent, image = sample(model, stack, vae, width=64, height=64, blending=blending, steps=2)
    assert latent["samples"].shape == (2, *FAMILIES[family], 8, 8)
    assert image.shape == (2, 64, 64, 3)
    assert image.isfinite().all()
    assert_levels_agree(image)


class ScaledPixels(comfy.latent_formats.ChromaRadiance):
    """A model that works on pixels of another range than pictures have."""

    def process_in(self, latent):
        return 3 * latent

    def process_out(self, latent):
        return latent / 3


@pytest.mark.parametrize("latent_format", [comfy.latent_formats.ChromaRadiance, ScaledPixels])
def test_models_that_paint_pixels(latent_format):
    """Their latents are pictures in -1..1, one cell a pixel: joining either is the same, but for what pixels clip."""
    settings = comfy.supported_models.Flux({**tiny_models.FLUX, "in_channels": 3, "out_channels": 3})
    settings.set_inference_dtype(torch.float32, None)
    settings.latent_format = latent_format()
    model = tiny_models._patcher(comfy.model_base.Flux(settings, device=tiny_models.CPU))
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}, device=tiny_models.CPU, dtype=torch.float32)
    options = {"pooled_output": torch.ones(1, 32)}
    stack = StackPrompts([prompt(seed, **options) for seed in (1, 2)], prompt(3, **options), ("far", "near"), P)
    images = []
    for blending in ("pixel", "latent"):
        latent, image = sample(model, stack, vae, width=32, height=32, blending=blending, sampler_name="euler")
        assert latent["samples"].shape == (2, 3, 32, 32)
        levels = image.movedim(-1, 1)
        torch.testing.assert_close(render_image(levels, P), levels, rtol=0, atol=1e-5)
        images.append(image)
    assert psnr(*images) > 25


def test_the_preview_shows_all_levels(demo, monkeypatch):
    shown = []
    monkeypatch.setattr(
        latent_preview, "prepare_callback", lambda *_: lambda step, denoised, x, total: shown.append((step, denoised))
    )
    latent, _ = sample(*demo, blending="latent", sampler_name="euler")
    assert [step for step, _ in shown] == [0, 1, 2, 3]
    sheet = demo[0].model.process_latent_out(shown[-1][1])
    assert sheet.shape == (1, 8, 32, 32)
    levels = latent["samples"]
    torch.testing.assert_close(sheet[0, :, :16, :16], levels[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sheet[0, :, 16:, :16], levels[2], rtol=1e-4, atol=1e-4)
    assert not sheet[0, :, 16:, 16:].any()


def test_a_sheet_of_many_levels_is_not_larger_than_previewers_expect():
    assert contact_sheet(torch.zeros(16, 4, 1, 128, 64)).shape == (1, 4, 1, 128, 64)
    assert contact_sheet(torch.zeros(5, 4, 20, 20)).shape == (1, 4, 40, 60)
    sheet = contact_sheet(torch.arange(3.0)[:, None, None, None].expand(3, 1, 128, 128))
    assert sheet[0, 0, 0, 0] == 0
    assert sheet[0, 0, 0, -1] == 1
    assert sheet[0, 0, -1, 0] == 2


def test_interruption_stops_within_a_level(demo, monkeypatch):
    _, _, vae = demo
    expected = sample(*demo)[1]
    decoded = []

    def decode(latent, *rest):
        decoded.append(latent)
        comfy.model_management.interrupt_current_processing()
        return LandscapeVAE.decode(vae, latent, *rest)

    monkeypatch.setattr(vae, "decode", decode)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(*demo)
    assert len(decoded) == 1
    monkeypatch.undo()
    assert torch.equal(sample(*demo)[1], expected)


def test_the_model_and_its_controlnets_are_brought_back_after_the_vae(monkeypatch):
    """And nothing else: a text encoder that the VAE pushed out of memory stays out."""
    loads, load = [], comfy.model_management.load_models_gpu

    def record(models, *rest, **options):
        loads.append({type(patcher.model).__name__ for patcher in models})
        return load(models, *rest, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", record)
    net = tiny_models.control_net().set_cond_hint(torch.zeros(1, 3, 64, 64))
    stack = StackPrompts([prompt(1, control=net), prompt(2)], prompt(3), ("far", "near"), P)
    sample(tiny_models.sd15(), stack, tiny_models.vae(), width=64, height=64, steps=1)
    sampling, vae = {"BaseModel", "ControlNet"}, {"AutoencoderKL"}
    assert loads == [sampling, vae, vae, vae, vae, sampling, vae, vae]


def test_memory_is_asked_for_one_level(monkeypatch):
    asked, estimate = [], comfy.sampler_helpers.estimate_memory

    def record(model, shape, conds):
        asked.append(tuple(shape))
        return estimate(model, shape, conds)

    monkeypatch.setattr(comfy.sampler_helpers, "estimate_memory", record)
    stack = StackPrompts([prompt(seed) for seed in range(5)], prompt(9), tuple("abcde"), P)
    sample(tiny_models.sd15(), stack, tiny_models.vae(), width=64, height=64, steps=1, blending="latent")
    assert asked == [(1, 4, 8, 8)]


def test_nothing_of_a_run_is_kept(demo):
    """Not even until the next collection of garbage: a blender holds the VAE and the photograph."""

    def blenders():
        return sum(type(found) is StackBlender for found in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        sample(*demo, steps=1, photograph=torch.zeros(1, 64, 64, 3))
        assert blenders() == 0
    finally:
        gc.enable()


def test_pictures_are_blended_on_the_device_only_if_that_has_room(monkeypatch):
    """A device without memory of its own stands in for a graphics card."""
    pixels, card = torch.zeros(3, 3, 16, 16), torch.device("meta")
    for free, where in ((1 + WORKING_STACKS) * pixels.nbytes, "meta"), (WORKING_STACKS * pixels.nbytes, "cpu"):
        monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device, free=free: free)
        assert where_there_is_room(pixels, card).device.type == where


def test_mixed_blending_is_in_pixels_in_the_last_step_and_every_so_many_before():
    mixed = ZoomBlending(zoom_factor=2, space="mixed", pixel_every=3)
    assert [step for step in range(10) if mixed.in_pixels(step, 10)] == [0, 3, 6, 9]
    late = ZoomBlending(zoom_factor=2, space="mixed", pixel_from=0.5)
    assert [step for step in range(10) if late.in_pixels(step, 10)] == [5, 6, 7, 8, 9]
    assert [ZoomBlending(zoom_factor=2, space=space).in_pixels(3, 10) for space in ("pixel", "latent")] == [True, False]


def test_mixed_is_pixel_when_every_step_is(demo):
    assert torch.equal(
        sample(*demo, blending="mixed", pixel_every=1)[1],
        sample(*demo, blending="pixel")[1],
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 100}, r"width: must be a multiple of 32 pixels.*got 100; nearest: 96 or 128"),
        ({"pixel_every": 0}, r"pixel_every: must be at least 1, got 0"),
        ({"pixel_from": 0.7, "pixel_to": 0.3}, r"pixel_from, pixel_to: .*from <= to.* got 0\.7 and 0\.3"),
        ({"blending": "paint"}, r"blending: must be one of pixel, latent, mixed, got 'paint'"),
        ({"photograph": torch.zeros(2, 64, 64, 3)}, r"photograph: must be one image.*got 2; choose one"),
        (
            {"photograph_steps": -1, "photograph": torch.zeros(1, 64, 64, 3)},
            r"photograph_steps: must be 0 or more, got -1",
        ),
        (
            {"latent_image": {"samples": torch.ones(2, 8, 16, 16)}},
            r"latent_image: must have one row for each of the 3 levels.*got 2; connect",
        ),
        (
            {"latent_image": {"samples": torch.ones(3, 4, 16, 16)}},
            r"latent_image: each level must be one picture.*\(8,\).*got \(4,\); encode it",
        ),
        (
            {"latent_image": {"samples": torch.ones(3, 8, 16, 16)}, "width": 256},
            r"width: latent_image is 128 x 128 pixels, got 256; set 0",
        ),
        (
            {"latent_image": {"samples": torch.ones(3, 8, 16, 16), "noise_mask": torch.ones(1, 1, 16, 16)}},
            r"latent_image: .*has a noise mask; connect",
        ),
        ({"denoise": 0.7}, r"denoise: must be 1 with neither .* nor a photograph, got 0\.7: .*; set 1, or connect one"),
        (
            {"denoise": 0.0, "latent_image": {"samples": torch.zeros(1, 8, 16, 16)}},
            r"denoise: must be 1 with neither a finished stack in latent_image .*got 0\.0",
        ),
    ],
)
def test_wrong_input(demo, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(*demo, **changes)


def test_a_vae_of_another_model_is_refused(demo):
    model, stack, _ = demo
    with pytest.raises(ValueError, match=r"vae: .*4 channels.*8 channels.*use the VAE that belongs to the model"):
        sample(model, stack, tiny_models.vae())


def test_a_factor_larger_than_a_level_is_refused(demo):
    model, stack, vae = demo
    with pytest.raises(ValueError, match="height: a level must be at least zoom_factor = 17 times"):
        sample(model, stack._replace(zoom_factor=17), vae)


def test_caches(demo):
    """EasyCache would take one level for another; LazyCache sees stacks."""
    model, stack, vae = demo
    cached = comfy_extras.nodes_easycache.EasyCacheNode.execute(model, 0.2, 0.0, 1.0, False).args[0]
    with pytest.raises(ValueError, match=r"model: .*cannot be combined with EasyCache.*Use LazyCache"):
        sample(cached, stack, vae)
    cached = comfy_extras.nodes_easycache.LazyCacheNode.execute(model, 1e-9, 0.0, 1.0, False).args[0]
    torch.testing.assert_close(
        sample(cached, stack, vae, blending="latent")[1], sample(*demo, blending="latent")[1], rtol=0, atol=1e-3
    )


def test_context_windows_are_refused(demo):
    model, stack, vae = demo
    model = model.clone()
    model.model_options["context_handler"] = object()
    with pytest.raises(ValueError, match=r"model: .*cannot be combined with Context Windows.*use Panorama Windows"):
        sample(model, stack, vae)


@pytest.mark.parametrize("blending", ["pixel", "mixed"])
@pytest.mark.parametrize(
    "guide",
    [{"sync": SyncParams(guidance="gradient")}, {"multiscale": MultiScaleParams(guidance="gradient")}],
    ids=lambda guide: next(iter(guide)),
)
def test_predictions_of_moved_windows_are_no_pictures(demo, guide, blending):
    model, stack, vae = demo
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=4)
    guided = with_settings(model, windows=windows, **guide)
    with pytest.raises(
        ValueError, match=f"blending: must be latent .* guidance gradient, got {blending}: .*Choose latent here, or"
    ):
        sample(guided, stack, vae, width=256, blending=blending)
    _, image = sample(guided, stack, vae, width=256, blending="latent", steps=2)
    assert_levels_agree(image)


def test_corrected_predictions_are_pictures(demo):
    model, stack, vae = demo
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=4)
    guided = with_settings(model, windows=windows, sync=SyncParams(), multiscale=MultiScaleParams())
    _, image = sample(guided, stack, vae, width=256, blending="pixel", steps=2)
    assert_levels_agree(image)


def test_guidance_of_no_weight_is_none(demo):
    model, stack, vae = demo
    off = with_settings(model, sync=SyncParams(weight=0.0))
    assert sample(off, stack, vae, steps=1, blending="pixel")[1].isfinite().all()

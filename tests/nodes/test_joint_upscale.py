"""Joint Upscale and Structure Guidance on the bundled model: the picture is kept, and what cannot be done is said."""

import gc
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.structure import restored
from joint_diffusion.nodes.host.settings import Picture
from joint_diffusion.nodes.host.vae import decode_canvas
from joint_diffusion.nodes.host.windows import enlarge
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.windows.picture import followed
from joint_diffusion.nodes.joint_upscale import JointUpscale, target_size
from joint_diffusion.nodes.load_demo_model import LoadDemoModel
from joint_diffusion.nodes.multi_scale import MultiScaleGuidance
from joint_diffusion.nodes.structure_guidance import StructureGuidance
from tiny_models import prompt
from torch import nn

import nodes as host_nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

KSAMPLER = {"seed": 1, "steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}


@pytest.fixture(scope="module")
def demo():
    with torch.inference_mode():
        model, clip, vae = LoadDemoModel.execute().args
        (positive,) = host_nodes.CLIPTextEncode().encode(clip, "summer day sky forest meadow")
        (negative,) = host_nodes.CLIPTextEncode().encode(clip, "")
        yield SimpleNamespace(model=model, vae=vae, positive=positive, negative=negative)


def picture(height=128, width=128, batch=1):
    """Soft blobs of colour: what any autoencoder keeps."""
    blobs = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(blobs, (height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)


def upscale(demo, image, model=None, upscale_by=2.0, structure=1.0, **options):
    arguments = {**KSAMPLER, **options}
    return JointUpscale.execute(
        model or demo.model, demo.positive, demo.negative, demo.vae, image, upscale_by, structure, **arguments
    ).args


def error(image, like):
    smaller = nn.functional.interpolate(image.movedim(-1, 1), like.shape[1:3], mode="area").movedim(1, -1)
    return (smaller - like).square().mean().sqrt().item()


@pytest.mark.parametrize("windows", ["overlapping", "moving"])
def test_the_picture_is_kept_from_pure_noise(demo, windows):
    image = picture()
    kept, free = (upscale(demo, image, structure=structure, windows=windows)[0] for structure in (1.0, 0.0))
    assert kept.shape == (1, 256, 256, 3)
    assert error(kept, image) < 0.1 < error(free, image)


def test_four_times_is_led_by_the_scale_in_between(demo):
    image = picture(64, 64)
    enlarged, latent = upscale(demo, image, upscale_by=4.0)
    assert enlarged.shape == (1, 256, 256, 3)
    assert latent["samples"].shape == (1, 8, 32, 32)
    assert error(enlarged, image) < 0.1


@pytest.mark.parametrize(("height", "width", "by", "size"), [(101, 131, 1.5, (152, 196)), (130, 90, 1.0, (130, 90))])
def test_any_size_is_padded_inside_and_cropped_at_the_end(demo, height, width, by, size):
    enlarged, latent = upscale(demo, picture(height, width), upscale_by=by, denoise=0.5)
    assert enlarged.shape == (1, *size, 3)
    assert all(side % 4 == 0 for side in latent["samples"].shape[-2:])


def test_every_picture_of_a_batch_is_kept(demo):
    images = picture(batch=2)
    enlarged, _ = upscale(demo, images)
    assert error(enlarged[:1], images[:1]) < 0.1
    assert error(enlarged[1:], images[1:]) < 0.1
    assert error(enlarged[:1], images[1:]) > 0.15


def test_grey_and_transparent_pictures_are_taken_for_colour(demo):
    grey = picture()[..., :1]
    assert upscale(demo, grey)[0].shape == (1, 256, 256, 3)
    transparent = torch.cat([picture(), torch.zeros(1, 128, 128, 1)], dim=-1)
    assert torch.equal(upscale(demo, transparent)[0], upscale(demo, picture())[0])


@pytest.mark.parametrize("structure", [0.0, 0.5, 1.0])
def test_transparency_that_the_vae_paints_is_kept(structure):
    """As the host decodes it. The picture says only which colours there are."""
    vae, image = tiny_models.video_vae(transparent=True), picture(64, 128)
    tiny = SimpleNamespace(model=tiny_models.qwen_image(), vae=vae, positive=prompt(1), negative=prompt(2))
    enlarged, latent = upscale(tiny, image, upscale_by=1.0, structure=structure, scheduler="simple")
    (shown,) = host_nodes.VAEDecode().decode(vae, latent)
    assert enlarged.shape == shown.shape == (1, 64, 128, 4)
    assert shown[..., 3].std() > 0
    assert torch.equal(enlarged[..., 3], shown[..., 3])
    colours = shown[..., :3].movedim(-1, 1)
    expected = restored(colours, image.movedim(-1, 1), structure).movedim(1, -1) if structure else shown[..., :3]
    torch.testing.assert_close(enlarged[..., :3], expected)


@pytest.mark.parametrize(
    ("make_model", "vae", "message"),
    [
        (tiny_models.flux, partial(tiny_models.vae, 4), r"vae: works on latents of 4 channels .* 16 channels"),
        (
            tiny_models.flux,
            tiny_models.video_vae,
            r"vae: works on latents with frames, .*; use the VAE that belongs to",
        ),
    ],
)
@pytest.mark.parametrize("structure", [0.0, 1.0])
def test_the_vae_of_another_model_is_refused_before_it_is_sampled(make_model, vae, message, structure, monkeypatch):
    tiny = SimpleNamespace(model=make_model(), vae=vae(), positive=prompt(1), negative=prompt(2))
    monkeypatch.setattr(comfy.samplers.CFGGuider, "sample", lambda *_, **__: pytest.fail("sampled"))
    with pytest.raises(ValueError, match=message):
        upscale(tiny, picture(64, 64), upscale_by=1.0, structure=structure)


def test_structure_guidance_is_the_same_in_the_host_s_own_sampler(demo):
    image = picture()
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=4)
    model = StructureGuidance.execute(with_settings(demo.model, windows=windows), image, demo.vae, 1.0).args[0]
    blank = {"samples": torch.zeros(1, 8, 32, 32)}
    sample = partial(host_nodes.common_ksampler, model, 1, 3, 2.0, "euler", "karras", demo.positive, demo.negative)
    found = upscale(demo, image, windows="overlapping")[1]["samples"]
    torch.testing.assert_close(sample(blank)[0]["samples"], found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral", "euler_cfg_pp"])
def test_other_samplers_keep_it_too(demo, sampler):
    assert error(upscale(demo, picture(), sampler_name=sampler, steps=4)[0], picture()) < 0.12


def test_the_host_keeps_track_of_the_model(demo):
    """If it did not, it would collect garbage before every later call of any model."""
    upscale(demo, picture())
    gc.collect()
    assert not any(loaded.is_dead() for loaded in comfy.model_management.current_loaded_models)


def test_edges_that_wrap_meet(demo):
    image = picture(128, 128)
    image = torch.cat([image, image.flip(2)], dim=2)  # its edges meet
    open_, closed = (upscale(demo, image, wrap_x=wrap, seed=3)[0] for wrap in (False, True))
    steps = [(found[:, :, 0] - found[:, :, -1]).abs().mean().item() for found in (open_, closed)]
    assert steps[1] < 0.6 * steps[0]


def test_what_the_picture_shows_is_put_back_around_edges_that_wrap(demo):
    image, wrap = picture(), Wrap(x=True)
    enlarged, latent = upscale(demo, image, structure=1.0, wrap_x=True)
    decoded = decode_canvas(demo.vae, latent["samples"], wrap).clamp(0, 1).movedim(-1, 1)
    around, cut_open = (restored(decoded, image.movedim(-1, 1), wrap=edges).movedim(1, -1) for edges in (wrap, Wrap()))
    torch.testing.assert_close(enlarged, around)
    assert not torch.allclose(enlarged, cut_open, atol=1e-3)


class Twice(nn.Module):
    """An upscale model: every pixel twice, and a little brighter, so that one can tell."""

    scale = 2

    def __init__(self):
        super().__init__()
        device = comfy.model_management.get_torch_device()
        self.patcher = comfy.model_patcher.ModelPatcher(nn.Identity(), device, device)

    def forward(self, image):
        return nn.functional.interpolate(image, scale_factor=2.0) + 0.2


def test_an_upscale_model_sees_all_of_a_narrow_picture_around_its_edges(demo):
    image = 0.5 * picture(24, 24)
    options = {"upscale_by": 8.0, "denoise": 0.05, "structure": 0.0, "steps": 2, "wrap_x": True}
    assert upscale(demo, image, upscale_model=Twice(), **options)[0].shape == (1, 192, 192, 3)


@pytest.mark.parametrize("wrap", [Wrap(x=True), Wrap(y=True), Wrap(y=True, x=True)])
def test_what_an_upscale_model_sees_around_is_cut_off_again(wrap):
    image = picture(24, 40)
    how = enlarge.Enlargement(size=(48, 80), structure=0.0, structure_end=1.0, moving=True, wrap=wrap)
    alone = enlarge._resized(image, replace(how, wrap=Wrap()), Twice())
    assert torch.equal(enlarge._resized(image, how, Twice()), alone)


@pytest.mark.parametrize(("wrap", "shift"), [(Wrap(x=True), (0, 5)), (Wrap(y=True), (5, 0))])
def test_a_picture_that_is_followed_is_encoded_with_the_edges_that_meet(demo, wrap, shift):
    """However it is turned around, it is followed in the same way."""
    windows, image = WindowParams(window=Size(16, 16), stride=Size(8, 8), wrap=wrap), picture(192, 192)
    pixels = [8 * cells for cells in shift]
    demo.model.pre_run()  # as before every run

    def latent(image):
        followed_picture = Picture(image=image, vae=demo.vae, strength=1.0, end=1.0)
        return followed(followed_picture, demo.model.model, Size(24, 24), 1, windows).latent

    turned = latent(image.roll(pixels, (1, 2)))
    torch.testing.assert_close(turned, latent(image).roll(shift, (-2, -1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrap", [False, True])
def test_an_upscale_model_makes_the_picture_to_start_from(demo, wrap):
    image = 0.5 * picture()
    options = {"denoise": 0.05, "structure": 0.0, "steps": 2, "wrap_x": wrap}
    plain, brighter = (upscale(demo, image, upscale_model=model, **options)[0] for model in (None, Twice()))
    assert (brighter - plain).mean().item() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"upscale_by": 9.0},
            r"upscale_by: a picture of 128 x 128 pixels can be made 1 to 8 times .* got 9 times",
        ),
        ({"width": 64}, r"^width: a picture of 128 x 128 pixels can be made 1 to 8 times as large, got 0\.5 times"),
        (
            {"width": 256, "height": 300},
            r"width, height: 256 x 300 has other proportions than the picture \(128 x 128\)",
        ),
        (
            {"upscale_by": 1.51, "wrap_x": True},
            r"width: edges can only meet on .* 32 pixels here, got 193; nearest: 192 or 224\.",
        ),
        ({"width": 64, "height": 2000}, r"^width, height: a picture of .* got 15\.6 times"),
        ({"structure": 2.0}, r"structure: must be in 0\.\.1, got 2\.0"),
    ],
)
def test_bad_input(demo, options, message):
    with pytest.raises(ValueError, match=message):
        upscale(demo, picture(), **options)


def test_a_size_that_is_not_there_is_not_proposed(demo):
    with pytest.raises(ValueError, match=r"width: edges can only meet on .* 32 pixels here, got 20; nearest: 32\."):
        upscale(demo, picture(20, 20), upscale_by=1.0, wrap_x=True)


@pytest.mark.parametrize("closed", [True, False])
def test_edges_meet_as_in_panorama_windows_or_not_at_all(demo, closed):
    """Else the canvas would meet in the windows and not in the VAE, or the other way round."""
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=4, wrap=Wrap(x=closed))
    message = rf"wrap_x, wrap_y: must be as in Panorama Windows of the model, {closed} and False, got {not closed} and"
    with pytest.raises(ValueError, match=message):
        upscale(demo, picture(), with_settings(demo.model, windows=windows), wrap_x=not closed)


def test_no_picture_at_all(demo):
    with pytest.raises(ValueError, match=r"image: must be at least 1 picture, got an empty batch"):
        upscale(demo, picture()[:0])


@pytest.mark.parametrize(("height", "width", "by"), [(20, 30, 1.0), (3, 5, 2.0)])
def test_a_picture_smaller_than_a_window(demo, height, width, by):
    assert upscale(demo, picture(height, width), upscale_by=by)[0].shape == (1, height * by, width * by, 3)


def test_a_picture_that_does_not_fit_the_canvas(demo):
    model = StructureGuidance.execute(demo.model, picture(128, 256), demo.vae, 1.0).args[0]
    sample = partial(host_nodes.common_ksampler, model, 1, 3, 2.0, "euler", "karras", demo.positive, demo.negative)
    with pytest.raises(ValueError, match=r"image: has other proportions \(256 x 128 pixels\) than the canvas"):
        sample({"samples": torch.zeros(1, 8, 32, 32)})
    small = StructureGuidance.execute(demo.model, picture(20, 20), demo.vae, 1.0).args[0]
    with pytest.raises(ValueError, match=r"image: the canvas must be at most 8 times as large .* got 12\.8 times"):
        host_nodes.common_ksampler(
            small, 1, 3, 2.0, "euler", "karras", demo.positive, demo.negative, {"samples": torch.zeros(1, 8, 32, 32)}
        )
    two = StructureGuidance.execute(demo.model, picture(batch=2), demo.vae, 1.0).args[0]
    with pytest.raises(ValueError, match=r"image: must be 1 picture or 3, one for each row of the latent, got 2"):
        host_nodes.common_ksampler(
            two, 1, 3, 2.0, "euler", "karras", demo.positive, demo.negative, {"samples": torch.zeros(3, 8, 32, 32)}
        )
    both = MultiScaleGuidance.execute(StructureGuidance.execute(demo.model, picture(), demo.vae, 1.0).args[0]).args[0]
    with pytest.raises(ValueError, match=r"structure: the picture decides the layout already"):
        host_nodes.common_ksampler(
            both, 1, 3, 2.0, "euler", "karras", demo.positive, demo.negative, {"samples": torch.zeros(1, 8, 32, 32)}
        )


def test_a_size_in_place_of_the_factor():
    assert target_size(100, 200, 2.0, 0, 300) == (150, 300)
    assert target_size(100, 200, 2.0, 0, 0) == (200, 400)

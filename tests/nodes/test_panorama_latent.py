"""PanoramaLatent on the host's own models and autoencoders."""

import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Wrap
from joint_diffusion.nodes.host.settings import wrap_of
from joint_diffusion.nodes.panorama_latent import CROP, IMG2IMG, OUTPAINT, STRETCH, PanoramaLatent
from joint_diffusion.nodes.panorama_windows import PanoramaWindows

FAMILIES = {"sd15": (4, 4), "flux": (4, 16), "qwen_image": (5, 16)}  # dimensions, channels


def latent(width=128, height=64, batch_size=1, model=None, content=OUTPAINT, **settings):
    content = {"content": content, **settings} if settings else None
    return PanoramaLatent.execute(width, height, batch_size, model, content)[0]


def picture(height=64, width=64, batch=1):
    return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(2))


def test_without_a_model_it_is_the_latent_that_samplers_adapt():
    empty = latent(batch_size=2)
    assert empty["samples"].shape == (2, 4, 8, 16)
    assert empty["downscale_ratio_spacial"] == 8
    assert "noise_mask" not in empty


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_model_it_is_the_model_s_own_latent(family):
    dimensions, channels = FAMILIES[family]
    samples = latent(batch_size=2, model=getattr(tiny_models, family)())["samples"]
    assert samples.ndim == dimensions
    assert samples.shape[:2] == (2, channels)
    assert samples.shape[-2:] == (8, 16)


def test_edges_of_a_picture_that_does_not_go_around_do_not_meet():
    model, vae = tiny_models.sd15(), tiny_models.vae()
    (wrapping,) = PanoramaWindows.execute(model, 64, 64, 0.5, "overlapping", True, True).args
    options = {"height": 128, "image": picture(64, 64), "vae": vae, "image_scale": 0.5}
    assert torch.equal(*(latent(model=one, **options)["samples"] for one in (model, wrapping)))


def test_a_coarser_latent_format_has_larger_cells():
    model = tiny_models.sd15()
    model.add_object_patch("latent_format", CoarseFormat())
    assert latent(model=model, width=192, height=128)["samples"].shape == (1, 128, 4, 6)
    assert latent(model=model, width=160, height=128)["samples"].shape == (1, 128, 4, 5)  # whatever the model's grid
    message = r"width: must be a multiple of 32 pixels.*at least 32, got 136; nearest: 128 or 160"
    with pytest.raises(ValueError, match=message):
        latent(model=model, width=136, height=128)


class CoarseFormat:
    latent_channels, spacial_downscale_ratio, latent_dimensions = 128, 32, 2


@pytest.mark.parametrize(("make_vae", "model"), [("vae", "sd15"), ("video_vae", "qwen_image"), ("vae", None)])
def test_outpaint_keeps_the_image_and_masks_the_rest(make_vae, model):
    vae, image = getattr(tiny_models, make_vae)(), picture(64, 64)
    options = {"model": getattr(tiny_models, model)()} if model else {}
    canvas = latent(image=image, vae=vae, image_x=0.25, **options)
    kept = slice(2, 10)  # (16 - 8) * 0.25
    torch.testing.assert_close(canvas["samples"][..., kept], vae.encode(image))
    assert canvas["noise_mask"].shape[-2:] == (8, 16)
    assert (canvas["noise_mask"][..., kept] == 0).all()
    assert canvas["noise_mask"].sum() == 64
    assert canvas["samples"].count_nonzero() == canvas["samples"][..., kept].count_nonzero()


def test_outpaint_scales_the_image_into_the_canvas():
    mask = latent(256, 128, image=picture(200, 100), vae=tiny_models.vae(), image_scale=0.5, image_y=1.0)["noise_mask"]
    kept = (mask[0, 0] == 0).nonzero()
    assert kept.min(0).values.tolist() == [8, 14]  # 64 x 32 pixels, at the bottom, centred
    assert kept.max(0).values.tolist() == [15, 17]


def test_feather_fades_only_towards_what_is_painted():
    mask = latent(128, 64, image=picture(64, 64), vae=tiny_models.vae(), image_x=0, feather=24)["noise_mask"][0, 0]
    torch.testing.assert_close(mask[3, 4:9], torch.tensor([0, 0.25, 0.5, 0.75, 1.0]))
    assert (mask[:, :5] == 0).all()


def test_a_batch_of_images_is_not_a_film():
    vae, images = tiny_models.video_vae(), picture(batch=2)
    samples = latent(64, 64, 2, tiny_models.qwen_image(), IMG2IMG, image=images, vae=vae)["samples"]
    assert samples.shape == (2, 16, 1, 8, 8)
    torch.testing.assert_close(samples[1:], vae.encode(images[1:]))


@pytest.mark.parametrize("fit", [CROP, STRETCH])
def test_img2img_covers_the_canvas(fit):
    vae, image = tiny_models.vae(), picture(64, 128)
    canvas = latent(128, 128, 2, content=IMG2IMG, image=image, vae=vae, fit=fit)
    assert "noise_mask" not in canvas
    assert canvas["samples"].shape == (2, 4, 16, 16)
    torch.testing.assert_close(canvas["samples"][0], canvas["samples"][1])
    middle = latent(128, 128, content=IMG2IMG, image=image[:, :, 32:96], vae=vae, fit=STRETCH)
    is_middle = torch.allclose(canvas["samples"][:1], middle["samples"], atol=1e-4)
    assert is_middle == (fit == CROP)


@pytest.mark.parametrize(("content", "height"), [(IMG2IMG, 64), (OUTPAINT, 128)])
def test_a_picture_around_the_canvas_is_seamless_where_it_wraps(content, height):
    """A picture that is moved around the canvas gives its latent moved around, if left and right edge meet."""
    vae, image = tiny_models.vae(), picture(64, 128)
    plain = tiny_models.sd15()
    wrapping = PanoramaWindows.execute(plain, 64, 64, 0.5, "overlapping", True, False)[0]

    def change(model):
        """How much the latent depends on where the picture is cut open."""
        before, after = (
            latent(128, height, model=model, content=content, image=one, vae=vae)["samples"]
            for one in (image, image.roll(64, 2))
        )
        return (before.roll(8, -1) - after).abs().mean()

    assert wrap_of(wrapping) == Wrap(y=False, x=True)
    assert change(wrapping) < 0.2 * change(plain)


def test_the_vae_of_a_model_with_frames_is_refused_by_another_one():
    with pytest.raises(ValueError, match=r"vae: works on latents with frames, .* model on latents without, .*; use"):
        latent(128, 64, model=tiny_models.flux(), image=picture(), vae=tiny_models.video_vae())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 1001}, r"width: must be a multiple of 8 pixels.*got 1001; nearest: 1000 or 1008\."),
        ({"height": 0}, r"height: .*at least 8, got 0; nearest: 8\."),
        ({"height": -64}, r"height: .*at least 8, got -64; nearest: 8\."),
        (
            {"width": 1001, "height": 500},
            r"width: .*got 1001; nearest: 1000 or 1008\.\nheight: .*got 500; nearest: 496 or",
        ),
        ({"batch_size": 0}, r"batch_size: must be at least 1, got 0"),
        ({"image": 3, "vae": True}, r"image: must be 1 picture or batch_size \(1\) pictures, got 3"),
        ({"image": 2, "vae": True, "batch_size": 3}, r"image: must be 1 picture or batch_size \(3\) pictures, got 2"),
        ({"image": 1, "vae": True, "image_scale": 2.0}, r"image_scale: must be above 0 and at most 1 .*got 2.0"),
        ({"image": 1, "vae": True, "image_scale": 0.0}, r"image_scale: must be above 0 .*got 0.0"),
        ({"image": 1, "vae": True, "image_scale": float("nan")}, r"image_scale: must be above 0 .*got nan"),
        ({"image": 1, "vae": True, "image_x": 1.5}, r"image_x: must be in 0\.\.1 .*got 1.5"),
        ({"image": 1, "vae": True, "image_y": -1}, r"image_y: must be in 0\.\.1 .*got -1"),
        ({"image": 1, "vae": True, "content": "centre"}, r"content: must be .*got 'centre'"),
        ({"image": 1, "vae": True, "content": IMG2IMG, "fit": "fill"}, r"fit: must be .*got 'fill'"),
        ({"image": 1, "vae": True, "width": 64}, r"content: outpaint keeps the image.*8 x 8.*choose img2img"),
        ({"image": 1, "vae": True, "feather": 20}, r"feather: must be a multiple of 8 pixels.*nearest: 16 or 24"),
        ({"image": 1, "vae": True, "model": "flux"}, r"vae: made latents of 4 channels.*model works on 16 channels"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input_is_named_with_the_way_out(settings, message):
    if "image" in settings:
        settings = settings | {"image": picture(batch=settings["image"])}
    if "vae" in settings:
        settings = settings | {"vae": tiny_models.vae()}
    if "model" in settings:
        settings = settings | {"model": getattr(tiny_models, settings["model"])()}
    with pytest.raises(ValueError, match=message):
        latent(**settings)

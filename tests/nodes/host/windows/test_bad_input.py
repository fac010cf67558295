"""Wrong input gets a message that names the field, the rule or the value, and the way out; never a silent repair."""

import re
from types import SimpleNamespace

import comfy.sample
import folder_paths
import pytest
import tiny_models
import torch
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.perceptual_weights import FOLDER
from joint_diffusion.nodes.host.windows.conflicts import refuse_what_cannot_be_windowed
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.multi_scale import MultiScaleGuidance, MultiScaleSampler
from joint_diffusion.nodes.panorama_decode import PanoramaDecode
from joint_diffusion.nodes.panorama_plan import PanoramaPlan
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from joint_diffusion.nodes.structure_guidance import StructureGuidance
from joint_diffusion.nodes.sync_guidance import SyncGuidance
from joint_diffusion.nodes.twin_crop_fusion import TwinCropFusion
from safetensors.torch import save_file
from tiny_models import prompt

NAN, INFINITY = float("nan"), float("inf")
NATIVE = {
    "window_width": 0,
    "window_height": 0,
    "overlap": 0.5,
    "windows": "overlapping",
    "wrap_x": False,
    "wrap_y": False,
}


@pytest.fixture(scope="module")
def sd15():
    with torch.inference_mode():
        return tiny_models.sd15()


class TinyVAE:
    """As much of a VAE as is asked before the input is refused."""

    latent_channels, latent_dim = 4, 2

    def spacial_compression_encode(self):
        return 8

    spacial_compression_decode = spacial_compression_encode


class TinyVideoVAE(TinyVAE):
    """Of a model whose latents have frames."""

    latent_dim = 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_width": 130}, r"window_width: must be a multiple of 16 pixels.*got 130; nearest: 128 or 144"),
        ({"window_height": -16}, r"window_height: .*got -16"),
        (
            {"window_width": 130, "window_height": 70},
            r"window_width: .*got 130; nearest: 128 or 144\.\nwindow_height: .*got 70; nearest: 64 or 80",
        ),
        ({"overlap": 1.0}, r"overlap: must be at least 0 and below 1 .*got 1"),
        ({"overlap": -0.5}, r"overlap: must be at least 0 and below 1 .*got -0\.5"),
        ({"overlap": NAN}, r"overlap: must be at least 0 and below 1 .*got nan"),
        ({"windows": "round"}, r"windows: must be one of overlapping, moving, got 'round'"),
        ({"weights": "round"}, r"weights: must be one of uniform, feathered, gaussian, got 'round'"),
        ({"windows_per_batch": -1}, r"windows_per_batch: must be at least 0, got -1; 0 is automatic"),
    ],
)
def test_panorama_windows(sd15, changes, message):
    with pytest.raises(ValueError, match=message):
        PanoramaWindows.execute(sd15, **{**NATIVE, **changes})


@pytest.mark.parametrize("node", [MultiScaleGuidance, MultiScaleSampler])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": 5}, r"scales: must be in 1\.\.4, or 0 for as many as the canvas asks for, got 5"),
        ({"strength": 1.5}, r"strength: must be in 0\.\.1, got 1\.5"),
        ({"strength": NAN}, r"strength: must be in 0\.\.1, got nan"),
        ({"weight": INFINITY}, r"weight: must be a number of at least 0, got inf"),
        ({"guidance": "jacobian_free"}, r"guidance: must be projected or gradient, got 'jacobian_free'"),
    ],
)
def test_multi_scale(sd15, node, changes, message):
    sampler = {
        "seed": 0,
        "steps": 1,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "positive": prompt(1),
        "negative": prompt(2),
        "latent_image": {"samples": torch.zeros(1, 4, 16, 16)},
        "denoise": 1.0,
    }
    values = {"scales": 2, "strength": 1.0, **changes, **(sampler if node is MultiScaleSampler else {})}
    with pytest.raises(ValueError, match=message):
        node.execute(sd15, **values)


def use_folder(folder, monkeypatch):
    """In place of the pack's folder of perceptual weights."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([str(folder)], {".safetensors"}))
    monkeypatch.delitem(folder_paths.filename_list_cache, FOLDER, raising=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": NAN}, r"weight: must be a number of at least 0, got nan"),
        ({"loss": "ssim"}, r"loss: must be one of latent, style, lpips, got 'ssim'"),
        ({"loss": "style"}, r"vae: the loss style compares decoded pictures; connect a VAE, or choose latent"),
        ({"loss": "lpips", "vae": TinyVAE()}, r'(?s)The loss "lpips" needs .*Put vgg16.* into .*Put vgg\.pth .* into '),
        ({"loss": "style", "vae": TinyVAE()}, r'The loss "style" needs weights that are missing'),
        ({"loss": "style", "vae": TinyVideoVAE()}, r"vae: works on latents with frames, .*; use the VAE that belongs"),
        ({"loss": "style", "vae": tiny_models.vae(16)}, r"vae: works on latents of 16 channels .* the model on 4 chan"),
        ({"guidance": "matched"}, r"guidance: must be direct or gradient, got 'matched'"),
        ({"anchor_x": -0.5}, r"anchor_x: must be in 0\.\.1 .*got -0\.5"),
        ({"anchor_y": 2.0}, r"anchor_y: must be in 0\.\.1 .*got 2"),
    ],
)
def test_sync_guidance(sd15, changes, message, tmp_path, monkeypatch):
    use_folder(tmp_path, monkeypatch)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        SyncGuidance.execute(sd15, **{"weight": 20.0, "loss": "latent", **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adjacency": 0.0}, r"adjacency \(lambda\): must be a number above 0, got 0.*small values copy the neighbour"),
        ({"adjacency": INFINITY}, r"adjacency \(lambda\): must be a number above 0, got inf"),
        ({"stop": 1.5}, r"stop: must be in 0\.\.1 .*got 1\.5"),
        ({"groups": 1}, r"groups: must be at least 2 sets of windows that take turns, got 1"),
        ({"cross_stride": 20}, r"cross_stride: must be a multiple of 16 pixels.*got 20; nearest: 16 or 32"),
        ({"cross_stride": -16}, r"cross_stride: .*got -16"),
    ],
)
def test_twin_crop_fusion(sd15, changes, message):
    with pytest.raises(ValueError, match=message):
        TwinCropFusion.execute(sd15, **{"adjacency": 1.0, "stop": 0.5, "cross_sampling": True, **changes})


def sample(model, latent, steps=1):
    noise = torch.zeros_like(latent)
    with torch.inference_mode():
        comfy.sample.sample(
            model, noise, steps, 2.0, "euler", "normal", prompt(1), prompt(2), latent, disable_pbar=True
        )


def windowed(model, **changes):
    values = {**NATIVE, "window_width": 128, "window_height": 128, **changes}
    return PanoramaWindows.execute(model, **values).args[0]


@pytest.mark.parametrize("field", ["wrap_x", "wrap_y"])
def test_a_wrapping_canvas_below_the_window(sd15, field):
    with pytest.raises(ValueError, match=r"a wrapping canvas must be at least as large as the window .*turn wrap off"):
        sample(windowed(sd15, **{field: True}), torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize(
    ("wrap", "size", "message"),
    [
        (
            False,
            (14, 64),
            r"scales: with 2 scales the height of the canvas comes down to 7 .* at least 8\. Use fewer scales",
        ),
        (True, (32, 24), r"scales: .*width .*comes down to 12 .*at least 16 \(it wraps\)"),
    ],
)
def test_a_canvas_too_small_for_the_scales(sd15, wrap, size, message):
    model = with_settings(windowed(sd15, wrap_x=wrap), multiscale=MultiScaleParams(scales=2))
    with pytest.raises(ValueError, match=message):
        sample(model, torch.zeros(1, 4, *size))
    with pytest.raises(ValueError, match=message):
        PanoramaPlan.execute(model, {"samples": torch.zeros(1, 4, *size)})


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (1, 1)])
def test_a_canvas_of_one_cell(sd15, size):
    """Nothing is halved, and before it is refused nothing is encoded: the VAE is none."""
    latent = torch.zeros(1, 4, *size)
    axis = "height" if size[0] == 1 else "width"
    image = torch.rand(1, 8 * size[0], 8 * size[1], 3)
    models = {
        rf"structure: .* its {axis} must be at least 2 latent cells, got 1; choose a canvas of a larger {axis}": (
            StructureGuidance.execute(windowed(sd15), image, SimpleNamespace(patcher=sd15), 1.0).args[0]
        ),
        rf"scales: with 2 scales, .* the {axis} of the canvas must be at least 2 latent cells, got 1\. Use fewer": (
            MultiScaleGuidance.execute(windowed(sd15, window_width=16, window_height=16), scales=2).args[0]
        ),
    }
    for message, model in models.items():
        with pytest.raises(ValueError, match=message):
            sample(model, latent)
        with pytest.raises(ValueError, match=message):
            PanoramaPlan.execute(model, {"samples": latent})


def test_windows_that_move_twice(sd15):
    model = TwinCropFusion.execute(windowed(sd15, windows="moving"), 1.0, 0.5, True).args[0]
    message = r"cross_sampling: moving windows already do .*turn Cross Sampling off, or choose overlapping windows"
    with pytest.raises(ValueError, match=message):
        sample(model, torch.zeros(1, 4, 16, 32))
    with pytest.raises(ValueError, match=message):
        PanoramaPlan.execute(model, {"samples": torch.zeros(1, 4, 16, 32)})


def test_nothing_to_synchronise_with(sd15):
    model = SyncGuidance.execute(windowed(sd15), 20.0, "latent").args[0]
    with pytest.raises(ValueError, match=r"sync guidance: one window of 16 x 16 .*covers this canvas.*canvas larger"):
        sample(model, torch.zeros(1, 4, 16, 16))


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("what", ["latent", "prediction"])
def test_numbers_that_are_not_finite(sd15, what, guided):
    """A black picture would say nothing; the message says since when, and where."""
    model, latent = windowed(sd15), torch.zeros(1, 4, 32, 48)
    if guided:
        model = MultiScaleGuidance.execute(
            SyncGuidance.execute(model, 20.0, "latent").args[0], scales=2, strength=1.0
        ).args[0]
    calls = []

    def broken(arguments):
        calls.append(arguments["denoised"].shape)
        if calls.count((1, 4, 32, 48)) == 2:
            arguments["denoised"][..., 20:, 30:40] = NAN
        return arguments["denoised"]

    if what == "latent":
        latent[..., 20:, 30:40] = INFINITY
    else:
        model.set_model_sampler_post_cfg_function(broken)
    number = 1 if what == "latent" else 2
    message = rf"prediction {number}: the latent or its prediction is not finite .* at x \d+\.\.\d+, y \d+\.\.31 "
    with pytest.raises(FloatingPointError, match=message) as caught:
        sample(model, latent, steps=3)
    left, right, top = map(int, re.search(r"x (\d+)\.\.(\d+), y (\d+)", str(caught.value)).groups())
    assert left <= 30
    assert right >= 39
    assert top <= 20
    if what == "prediction" and not guided:
        assert (left, right, top) == (30, 39, 20)


def test_a_place_in_a_picture_that_is_not_finite(sd15):
    """The second picture of a batch of two."""
    bad = torch.zeros(2, 4, 16, 32)
    bad[1, 0, 3, 5] = NAN
    model = windowed(sd15)
    model.set_model_sampler_post_cfg_function(lambda arguments: arguments["denoised"] + bad)
    with pytest.raises(
        FloatingPointError, match=r"prediction 1: .* at x 5\.\.5, y 3\.\.3 \(latent cells\); run the model"
    ):
        sample(model, torch.zeros(2, 4, 16, 32))


@pytest.mark.parametrize("model", [SimpleNamespace(), SimpleNamespace(latent_shapes=None)], ids=["before 0.33", "0.33"])
def test_a_latent_that_is_no_picture(model):
    """ComfyUI before 0.33 does not say of which streams a latent is made."""
    guider = SimpleNamespace(inner_model=model)
    refuse_what_cannot_be_windowed(guider, {}, torch.zeros(1, 4, 8, 8))
    with pytest.raises(ValueError, match=r"this model samples no picture \(such as sound\).*\(1, 4, 8\)"):
        refuse_what_cannot_be_windowed(guider, {}, torch.zeros(1, 4, 8))


def test_context_windows_on_the_same_model(sd15):
    model = windowed(sd15)
    model.model_options["context_handler"] = object()
    with pytest.raises(ValueError, match=r"Panorama Windows and Context Windows .*Remove one"):
        sample(model, torch.zeros(1, 4, 16, 24))


class PicturePatch:
    """As another pack may have it: an object in the model's blocks that holds the whole picture."""

    def __init__(self):
        self.image = torch.zeros(1, 64, 64, 3)

    def __call__(self, arguments):
        return arguments


def test_a_picture_patched_into_the_model(sd15):
    model = windowed(sd15)
    model.set_model_double_block_patch(PicturePatch())
    with pytest.raises(ValueError, match=r"cannot cut the picture that PicturePatch .*ControlNet"):
        sample(model, torch.zeros(1, 4, 16, 24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 100}, r"window: must be a multiple of 8 pixels.*got 100; nearest: 96 or 104"),
        (
            {"window": 64},
            r"window: must be at least 200 pixels here .*got 64; make window larger, or context or blend less",
        ),
        ({"window": -8}, r"window: .*got -8"),
        ({"context": -8}, r"context: .*got -8"),
        ({"blend": 3}, r"blend: must be a multiple of 8 pixels.*got 3"),
        (
            {"samples": {"samples": torch.zeros(1, 16, 32, 32)}},
            r"samples: .* 16 channels.* decodes 4; use the VAE that belongs",
        ),
        (
            {"samples": {"samples": torch.zeros(4, 32, 32)}},
            r"samples: must be a latent of 4 .* got shape \(4, 32, 32\)",
        ),
        (
            {"vae": TinyVideoVAE()},
            r"samples: this latent has no frames, got shape \(1, 4, 32, 32\), but .*; use the VAE that belongs",
        ),
    ],
)
def test_panorama_decode(changes, message):
    with pytest.raises(ValueError, match=message):
        PanoramaDecode.execute(**{"samples": {"samples": torch.zeros(1, 4, 32, 32)}, "vae": TinyVAE(), **changes})


def test_pictures_too_small_to_be_compared(sd15, tmp_path, monkeypatch):
    """VGG-16 halves four times: of windows below 32 pixels it sees nothing."""
    save_file(tiny_models.perceptual_weights(), tmp_path / "random.safetensors")
    use_folder(tmp_path, monkeypatch)
    small = windowed(sd15, window_width=16, window_height=16)
    model = SyncGuidance.execute(small, 20.0, "style", tiny_models.vae()).args[0]
    with pytest.raises(ValueError, match=r"window: .* at least 32 x 32 pixels, got 16 x 16; use larger windows, or"):
        sample(model, torch.zeros(1, 4, 2, 4))

"""ComfyUI's own model patches (DiffSynth, Z-Image Fun, ...) on windows, against the host on cropped pictures."""

from functools import cache

import comfy.ldm.anima.lllite
import comfy.model_patcher
import comfy.ops
import comfy.utils
import pytest
import tiny_control_nets
import tiny_models
import torch
from comfy_extras.nodes_model_patch import (
    AnimaLLLiteApply,
    QwenImageBlockWiseControlNet,
    QwenImageDiffsynthControlnet,
    SigLIPMultiFeatProjModel,
    USOStyleReference,
    ZImageFunControlnet,
)
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, crop
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.nodes.host.windows.model_patches import PICTURES
from joint_diffusion.nodes.host.windows.patch import with_settings
from sampling_run import POOLED, lively, run
from tiny_control_nets import fill
from tiny_models import CPU, prompt
from window_run import sampled_by_hand

pytestmark = pytest.mark.usefixtures("inference_mode")

CANVAS = Size(8, 16)
WINDOWS = {"window": Size(8, 8), "stride": Size(4, 4), "weights": "gaussian", "grid": 2}
SIGMAS = torch.tensor([1.0, 0.6, 0.3])
SETTINGS = {
    "overlapping": {},
    "wrap": {"wrap": Wrap(x=True)},
    "multi-scale": {"multiscale": MultiScaleParams(scales=2)},
}


@cache
def model_of(family):
    return lively(getattr(tiny_models, family)())


def rand(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def filled(module):
    return comfy.model_patcher.ModelPatcher(fill(module, scale=0.3, norms=1.0), CPU, CPU)


OPTIONS = {"device": CPU, "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}


class LocalVAE:
    """As much of a VAE as the patches ask for, which looks at nothing around a cell: 8 x 8 means in other mixtures."""

    encoded = 0

    def __init__(self, is_video=False):
        self.is_video = is_video

    def spacial_compression_encode(self):
        return 8

    def encode(self, images):
        LocalVAE.encoded += 1
        means = torch.nn.functional.avg_pool2d(images.movedim(-1, 1), 8)
        latent = torch.einsum("bchw,kc->bkhw", means, rand(16, 3, seed=4) * 4 - 2)
        return latent.unsqueeze(2) if self.is_video else latent


IMAGE, OTHER = rand(1, *CANVAS.scaled(8), 3), rand(1, *CANVAS.scaled(8), 3, seed=8)
MASK = (rand(1, *CANVAS).repeat_interleave(8, -1).repeat_interleave(8, -2) > 0.5).float()


def cropped(image, window, canvas, method="area"):
    """What lies in a window of an image (B, H, W, C), which `method` brings to the size of the canvas."""
    height, width = canvas.scaled(8)
    whole = comfy.utils.common_upscale(image.movedim(-1, 1), width, height, method, "center")
    return crop(whole, window.scaled(8)).movedim(1, -1)


def whole(image, method=None):
    return image


@cache
def diffsynth_net(inpaint):
    return filled(QwenImageBlockWiseControlNet(2, 64, 64 if inpaint else 0, 64, **OPTIONS))


def diffsynth(inpaint=False):
    def patch(model, cut):
        node, vae = QwenImageDiffsynthControlnet(), LocalVAE(is_video=True)
        return node.diffsynth_controlnet(model, diffsynth_net(inpaint), vae, cut(IMAGE), 0.7)[0]

    return "qwen_image", patch


z_image_net = cache(tiny_control_nets.z_image_fun)


def z_image_fun(inpaint=False):
    def patch(model, cut):
        pictures = {"image": cut(IMAGE), **({"inpaint_image": cut(OTHER)} if inpaint else {})}
        node = ZImageFunControlnet()
        return node.diffsynth_controlnet(model, z_image_net(inpaint), LocalVAE(), strength=3.0, **pictures)[0]

    return "z_image", patch


@cache
def lllite_net(channels):
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "conv1": (8, channels, 4, 4), "norm1": (8,), "conv2": (8, 8, 3, 3), "norm2": (8,), "conv3": (16, 8, 4, 4),
        "norm3": (16,), "proj": (8, 16, 1, 1), "out_norm": (8,),
    }  # fmt: skip
    state = {}
    for name, shape in shapes.items():
        state[f"lllite_conditioning1.{name}.weight"] = torch.randn(shape, generator=generator)
        state[f"lllite_conditioning1.{name}.bias"] = torch.randn(shape[0], generator=generator)
    for layer in ("self_attn_q_proj", "cross_attn_q_proj", "mlp_layer1"):
        name = f"lllite_dit_blocks_0_{layer}"
        linear = {"down": (4, 64), "mid": (4, 12), "cond_to_film": (8, 8), "up": (64, 4)}
        for part, shape in linear.items():
            state[f"{name}.{part}.weight"] = torch.randn(shape, generator=generator)
            state[f"{name}.{part}.bias"] = torch.randn(shape[0], generator=generator)
        state[f"{name}.depth_embed"] = torch.randn(8, generator=generator)
    network = comfy.ldm.anima.lllite.AnimaLLLite(state, {}, **OPTIONS)
    network.load_state_dict(state)
    return comfy.model_patcher.ModelPatcher(network, CPU, CPU)


def lllite(inpaint=False):
    def patch(model, cut):
        mask = cut(MASK.unsqueeze(-1), "nearest-exact").squeeze(-1) if inpaint else None
        node = AnimaLLLiteApply()
        return node.apply_patch(model, lllite_net(4 if inpaint else 3), cut(IMAGE, "bicubic"), 1.0, 0.0, 1.0, mask)[0]

    return "anima", patch


PATCHES = {
    "DiffSynth": diffsynth(),
    "DiffSynth inpainting": diffsynth(True),
    "Z-Image Fun": z_image_fun(),
    "Z-Image Fun inpainting": z_image_fun(True),
    "LLLite": lllite(),
    "LLLite inpainting": lllite(True),
}


def prompts(family):
    options = {"pooled_output": torch.linspace(-1, 1, POOLED[family])[None]} if family in POOLED else {}
    return prompt(1, **options), prompt(2, **options)


def shape_of(family):
    return (1, 16, *((1,) if family in ("qwen_image", "anima") else ()), *CANVAS)


def sampled(model, family, windows, multiscale=None, cfg=4.0):
    joint = with_settings(model, windows=windows, multiscale=multiscale)
    latent = torch.zeros(shape_of(family))
    return run(joint, latent, steps=2, cfg=cfg, prompt=prompts(family), sigmas=SIGMAS)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", PATCHES)
def test_a_whole_run_equals_a_literal_loop(name, settings):
    """In which the patch of each window is made with the cropped picture."""
    (family, patch), changes = PATCHES[name], dict(SETTINGS[settings])
    multiscale = changes.pop("multiscale", None)
    windows = WindowParams(**WINDOWS, **changes)

    def of_window(window, canvas):
        return patch(model_of(family), lambda image, method="area": cropped(image, window, canvas, method)), *prompts(
            family
        )

    params = JointParams(windows=windows, multiscale=multiscale)
    expected = sampled_by_hand(of_window, params, shape_of(family), SIGMAS, 4.0)
    found = sampled(patch(model_of(family), whole), family, windows, multiscale)
    size = expected.abs().max()
    error = (found - expected).abs().max()
    assert error < 1e-4 * size
    without = sampled(model_of(family), family, windows, multiscale)
    assert (found - without).abs().max() > max(1e-3 * size, 10 * error), "the patch does nothing"


def carrier_of(model):
    """The patch with the picture."""
    patches = [one for of_kind in model.model_options["transformer_options"]["patches"].values() for one in of_kind]
    return next(one for one in patches if type(one).__name__ in PICTURES)


def test_a_canvas_of_half_tokens():
    """9 rows of cells are 5 of tokens."""
    latent, windows = torch.zeros(1, 16, 1, 9, 16), WindowParams(**{**WINDOWS, "window": Size(10, 8)})
    model = with_settings(diffsynth()[1](model_of("qwen_image"), whole), windows=windows)
    assert run(model, latent, steps=2, prompt=prompts("qwen_image"), sigmas=SIGMAS).isfinite().all()


def test_a_picture_of_another_size_is_fitted_to_the_canvas_once():
    """From its centre, as ComfyUI does. It is encoded once for each scale of the canvas, not for each window."""
    image, windows, multiscale = rand(1, 96, 200, 3), WindowParams(**WINDOWS), MultiScaleParams(scales=2)
    _, patch = PATCHES["DiffSynth"]
    fitted = cropped(image, Window(0, 0, *CANVAS), CANVAS)
    pictures = []
    for one in (image, fitted):
        model = patch(model_of("qwen_image"), lambda *_: one)  # noqa: B023
        LocalVAE.encoded = 0
        pictures.append(sampled(model, "qwen_image", windows))
        assert LocalVAE.encoded == (1 if one is image else 0)  # this one the patch had already
    assert torch.equal(*pictures)
    LocalVAE.encoded = 0
    sampled(patch(model_of("qwen_image"), lambda *_: image), "qwen_image", windows, multiscale)
    assert LocalVAE.encoded == 1 + 2


def test_with_a_real_vae_windows_see_parts_of_one_encoded_picture():
    """A VAE looks around every cell: neighbouring windows would disagree where they overlap."""
    vae = tiny_models.video_vae()
    model = QwenImageDiffsynthControlnet().diffsynth_controlnet(
        model_of("qwen_image"), diffsynth_net(False), vae, IMAGE, 0.7
    )[0]
    carrier = carrier_of(model)
    parts = PICTURES["DiffSynthCnetPatch"](carrier, CANVAS)
    tokens = carrier.encoded_image.unflatten(1, (4, 8))  # blocks of 2 x 2 cells
    assert torch.equal(parts["encoded_image"](Window(0, 4, 8, 8)).unflatten(1, (4, 4)), tokens[:, :, 2:6])
    around = torch.cat([tokens[:, :, 6:], tokens[:, :, :2]], 2)
    assert torch.equal(parts["encoded_image"](Window(0, 12, 8, 8)).unflatten(1, (4, 4)), around)
    assert parts["encoded_image_size"](Window(0, 4, 8, 8)) == (64, 64)


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_is_left_as_it_was(name):
    family, patch = PATCHES[name]
    model = patch(model_of(family), whole)
    before = vars(carrier_of(model)).copy()
    sampled(model, family, WindowParams(**WINDOWS))
    after = vars(carrier_of(model))
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)


def test_pictures_work_with_guidance_by_gradients():
    family, patch = PATCHES["DiffSynth"]
    joint = with_settings(
        patch(model_of(family), whole),
        windows=WindowParams(**WINDOWS),
        sync=SyncParams(weight=0.05, guidance="gradient"),
    )
    latent = torch.zeros(shape_of(family))
    guided = run(joint, latent, steps=2, prompt=prompts(family), sigmas=SIGMAS)
    assert guided.isfinite().all()
    plain = with_settings(joint, sync=None)
    assert not torch.equal(guided, run(plain, latent, steps=2, prompt=prompts(family), sigmas=SIGMAS))


def test_windows_that_cut_through_a_token_are_refused():
    family, patch = PATCHES["DiffSynth"]
    windows = WindowParams(window=Size(8, 8), stride=Size(3, 3))
    message = r"the picture of a model patch has 8 x 4 cells for a canvas of 16 x 8 and cannot be cut .*Choose a window"
    with pytest.raises(ValueError, match=message):
        sampled(patch(model_of(family), whole), family, windows)


class ClipVisionOutput:
    """What a CLIP vision model says of a picture of a style."""

    penultimate_hidden_states = rand(1, 9, 12)
    all_hidden_states = rand(1, 24, 9, 12, seed=4)


def test_a_style_has_no_place_and_is_shown_to_every_window():
    """It was refused as a picture once. Its patch takes a single row: no CFG, and one window at a time."""
    net = filled(SigLIPMultiFeatProjModel(9, 4, 12, 64, **OPTIONS))

    def patch(model):
        return USOStyleReference().apply_patch(model, net, ClipVisionOutput)[0]

    windows = WindowParams(**WINDOWS)
    expected = sampled_by_hand(
        lambda window, canvas: (patch(model_of("flux")), prompts("flux")[0], prompts("flux")[0]),
        JointParams(windows=windows),
        shape_of("flux"),
        SIGMAS,
        1.0,
    )
    found = sampled(patch(model_of("flux")), "flux", windows, cfg=1.0)
    error = (found - expected).abs().max()
    assert error < 1e-4 * expected.abs().max()
    assert (found - sampled(model_of("flux"), "flux", windows, cfg=1.0)).abs().max() > 10 * error

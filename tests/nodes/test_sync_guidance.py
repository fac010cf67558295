"""Sync Guidance in the real host: Algorithm 1 to the letter, and what a run with it leaves alone."""

import shutil

import comfy.sample
import comfy.sd
import folder_paths
import numpy as np
import oracles
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from comfy_server import PromptFailed
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.windows import Size, Wrap, canvas_size, crop
from joint_diffusion.core.joint_step import guidance_shifts
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.syncdiffusion import GUIDANCES, SyncParams
from joint_diffusion.core.perception.lpips import Lpips
from joint_diffusion.core.perception.style import Style
from joint_diffusion.core.step import Step, signal
from joint_diffusion.nodes.host.perceptual_weights import FOLDER, load_perception
from joint_diffusion.nodes.host.windows import gradient_guidance
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.sync_guidance import SyncGuidance
from safetensors.torch import save_file
from sampling_run import lively, prompts, run, run_by_hand
from traces import changed, traces

pytestmark = pytest.mark.usefixtures("inference_mode")

SHAPES = {"sd15": (1, 4, 4, 8), "flux": (1, 16, 4, 8), "qwen_image": (1, 16, 1, 4, 8)}
VAES = {"sd15": tiny_models.vae, "flux": lambda: tiny_models.vae(16), "qwen_image": tiny_models.video_vae}
NETWORKS = {"style": Style, "lpips": Lpips}
WEAK = 0.02  # what a random model predicts is far from unit variance, and the loss of latents is not


def windows(**options):
    """Of 32 pixels, the least that VGG-16 can look at."""
    return WindowParams(**{"window": Size(4, 4), "stride": Size(4, 2), "weights": "gaussian", "grid": 2, **options})


@pytest.fixture(scope="module", autouse=True)
def perceptual(tmp_path_factory):
    """Random weights of VGG-16 and LPIPS in the host's models folder."""
    folder = tmp_path_factory.mktemp("models") / FOLDER
    folder.mkdir()
    weights = tiny_models.perceptual_weights()
    save_file(weights, folder / "random.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([str(folder)], {".safetensors"}))
        patch.delitem(folder_paths.filename_list_cache, FOLDER, raising=False)
        yield weights


@pytest.fixture(scope="module")
def sd15():
    return lively(tiny_models.sd15())


@pytest.fixture(scope="module")
def vae():
    return tiny_models.vae()


def synchronised(model, loss="latent", weight=20.0, plan=None, **options):
    """The node, before Panorama Windows."""
    guided = SyncGuidance.execute(model, weight, loss, **options).args[0]
    return with_settings(guided, windows=plan or windows())


def by_the_book(family, loss, weight, guidance, weights, steps):
    """The loops of Algorithm 1, or of `direct`, around network, VAE and loss, with autograd as it is."""
    with torch.inference_mode(False):
        model, vae = lively(getattr(tiny_models, family)()), VAES[family]()
        perception = NETWORKS[loss](weights) if loss in NETWORKS else None
    canvas = Size(*SHAPES[family][-2:])
    plan = windows().plan(canvas)

    def picture(denoised):
        latent = model.model.process_latent_out(denoised.reshape(*SHAPES[family][:-2], *denoised.shape[-2:]))
        pixels = vae.first_stage_model.decode(latent)
        return (pixels.reshape(1, 3, *pixels.shape[-2:]) + 1) / 2

    def distance(seen, reference):
        if perception is None:
            return oracles.latent_distance(seen, reference)
        return perception(picture(seen), picture(reference)).sum()

    def step(x, sigma, after, denoise, index):
        now = Step(sigma=sigma, flow=family != "sd15")
        mask, k = window_weights("gaussian", Size(4, 4)), SyncParams(weight=weight, guidance=guidance).weight_at(now)
        if guidance == "direct":
            fused = oracles.fuse([denoise(oracles.look(x, window), sigma) for window in plan], plan, x.shape, mask)
            fused = oracles.synchronise(fused.detach(), plan, mask, k, dict.fromkeys(plan, plan[1]), distance)
            return fused + after / sigma * (x - fused)
        factor = max(signal(sigma, now.flow), 1e-6)  # pure noise moves nowhere
        scale = factor if perception is None else (factor**2 + sigma**2) ** 0.5
        return oracles.sync_diffusion_step(x, sigma, after, denoise, plan, mask, k, plan[1], distance, scale)

    return run_by_hand(model, SHAPES[family], step, steps, prompt=prompts(family))


@pytest.mark.parametrize(
    ("family", "loss", "guidance", "sampler", "weight"),
    [
        ("sd15", "latent", "direct", "euler", WEAK),
        ("sd15", "latent", "gradient", "ddim", WEAK),
        ("sd15", "style", "direct", "ddim", 20.0),
        ("sd15", "style", "gradient", "euler", 20.0),
        ("sd15", "lpips", "direct", "ddim", 20.0),
        ("sd15", "lpips", "gradient", "euler", 20.0),
        ("flux", "latent", "gradient", "euler", 10 * WEAK),
        ("flux", "lpips", "gradient", "euler", 20.0),
        ("qwen_image", "latent", "direct", "euler", WEAK),
        ("qwen_image", "style", "gradient", "euler", 20.0),
    ],
)
def test_the_host_does_what_the_book_says(family, loss, guidance, sampler, weight, perceptual):
    model, latent = lively(getattr(tiny_models, family)()), torch.zeros(SHAPES[family])
    vae, steps = (None, 3) if loss == "latent" else (VAES[family](), 2)
    guided = synchronised(model, loss, weight, vae=vae, guidance=guidance)
    found = run(guided, latent, sampler, steps, prompt=prompts(family))
    expected = by_the_book(family, loss, weight, guidance, perceptual, steps)
    plain = run(with_settings(model, windows=windows()), latent, sampler, steps, prompt=prompts(family))
    error, effect = ((value - expected).abs().max() for value in (found, plain))
    assert error < 1e-4 * expected.abs().max()
    assert effect > 100 * error


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_a_vae_may_write_into_what_autograd_saved(sd15, guidance):
    def overwrites(_module, args):
        saved = args[0] * 1
        x = args[0] + 0 * (saved * saved)
        saved.zero_()
        return (x,)

    vae, latent = tiny_models.vae(), torch.zeros(1, 4, 4, 8)
    guided = synchronised(sd15, "style", vae=vae, guidance=guidance)
    expected = run(guided, latent, steps=2)
    vae.first_stage_model.decoder.conv_out.register_forward_pre_hook(overwrites)
    torch.testing.assert_close(run(guided, latent, steps=2), expected)


def test_the_anchor_keeps_its_picture_and_the_others_follow(sd15):
    """Windows that do not overlap, so that each has a part of the canvas for itself."""
    plan, latent = windows(stride=Size(4, 4)), torch.zeros(1, 4, 4, 12)
    plain = run(with_settings(sd15, windows=plan), latent)
    for place, left in ((0.0, 0), (0.5, 4), (1.0, 8)):
        guided = run(synchronised(sd15, weight=WEAK, plan=plan, anchor_x=place), latent)
        for window in (0, 4, 8):
            part = slice(window, window + 4)
            assert torch.equal(guided[..., part], plain[..., part]) == (window == left)


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_without_weight_it_is_panorama_windows_bit_for_bit(sd15, vae, guidance):
    latent = torch.zeros(2, 4, 4, 10)
    plain = run(with_settings(sd15, windows=windows()), latent)
    assert torch.equal(run(synchronised(sd15, "style", 0.0, vae=vae, guidance=guidance), latent), plain)


@pytest.mark.parametrize(("guidance", "looks"), [("direct", 1), ("gradient", 2)])
def test_a_guided_step_looks_through_every_window_as_often_as_it_must(sd15, guidance, looks):
    rows = []
    counted = synchronised(sd15, weight=WEAK, guidance=guidance).clone()
    counted.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    run(counted, torch.zeros(1, 4, 4, 8), steps=4)
    assert sum(rows) == 2 * 3 * 4 * looks


@pytest.mark.parametrize(("loss", "guidance"), [("latent", "direct"), ("latent", "gradient"), ("lpips", "direct")])
@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_windows_per_batch_change_nothing(sd15, vae, loss, guidance, wrap):
    latent = torch.zeros(1, 4, 4, 8)
    options = {"loss": loss, "vae": vae, "guidance": guidance, "weight": 0.5 if loss == "lpips" else WEAK}
    together, one_by_one = (
        run(synchronised(sd15, plan=windows(wrap=wrap, batch=batch), **options), latent, steps=2) for batch in (0, 1)
    )
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-4 * together.abs().max().item())


@pytest.mark.parametrize("loss", ["latent", "style"])
def test_pictures_of_a_batch_follow_their_own_anchors(sd15, vae, loss):
    model = synchronised(sd15, loss, weight=WEAK if loss == "latent" else 20.0, vae=vae)
    both, noise = run(model, torch.zeros(2, 4, 4, 8), steps=2), torch.zeros(1, 4, 4, 8)
    for row in (0, 1):
        alone = run(model, noise, steps=2, noise=comfy.sample.prepare_noise(torch.zeros(2, 4, 4, 8), 1)[row : row + 1])
        torch.testing.assert_close(both[row : row + 1], alone, rtol=0, atol=1e-4 * both.abs().max().item())


def test_around_a_loop_no_place_is_special(sd15):
    """Half way round, with the anchor: the picture is the same, half way round. So the window over the seam follows."""
    plan, latent = windows(wrap=Wrap(x=True)), torch.zeros(1, 4, 4, 8)
    noise = comfy.sample.prepare_noise(latent, 1)
    there = run(synchronised(sd15, weight=WEAK, plan=plan, anchor_x=0.25), latent, noise=noise)
    here = run(synchronised(sd15, weight=WEAK, plan=plan, anchor_x=0.75), latent, noise=noise.roll(4, -1))
    elsewhere = run(synchronised(sd15, weight=WEAK, plan=plan, anchor_x=0.25), latent, noise=noise.roll(4, -1))
    error, effect = ((found.roll(4, -1) - there).abs().max() for found in (here, elsewhere))
    assert error < 1e-5 * there.abs().max()
    assert effect > 50 * error


def test_a_run_leaves_model_vae_and_network_as_they_were(sd15, vae):
    network = load_perception("lpips")
    weights = {name: (id(value), value.clone()) for name, value in network._weights.items()}
    guided = synchronised(sd15, "lpips", vae=vae, guidance="gradient")
    run(guided, torch.zeros(1, 4, 4, 8), steps=1)  # loads both
    before = traces(sd15.model.diffusion_model, vae.first_stage_model)
    run(guided, torch.zeros(1, 4, 4, 8), steps=1)
    assert changed(before, traces(sd15.model.diffusion_model, vae.first_stage_model)) == []
    assert load_perception("lpips") is network
    for name, value in network._weights.items():
        assert id(value) == weights[name][0]
        assert torch.equal(value, weights[name][1])
        assert not value.requires_grad


def test_a_model_without_gradients_is_refused_and_synchronised_directly(sd15):
    cut_off = sd15.clone()
    cut_off.add_wrapper(
        WrappersMP.DIFFUSION_MODEL, lambda executor, x, *rest, **options: executor(x.detach(), *rest, **options)
    )
    with pytest.raises(RuntimeError, match=r"No gradient .*cut off from its input.*Choose guidance"):
        run(synchronised(cut_off, guidance="gradient"), torch.zeros(1, 4, 4, 8))
    free = synchronised(cut_off, weight=WEAK)
    assert torch.equal(
        run(free, torch.zeros(1, 4, 4, 8)), run(synchronised(sd15, weight=WEAK), torch.zeros(1, 4, 4, 8))
    )


def cast_from_fp8(model):
    for layer in model.model.diffusion_model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.to(torch.float8_e4m3fn).comfy_cast_weights = True
    return model


def with_lora(model):
    return comfy.sd.load_lora_for_models(model, None, tiny_models.lora_weights(model), 1.0, 0.0)[0]


def with_control():
    hint = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(4))
    return {"control": tiny_models.control_net().set_cond_hint(hint, 20.0), "control_apply_to_uncond": True}


@pytest.mark.parametrize(
    ("family", "change", "options", "loss"),
    [
        ("sd15", lambda model: model, dict, "latent"),
        ("sd15", lambda model: model, with_control, "lpips"),
        ("sd15", with_lora, dict, "style"),
        ("sd15", cast_from_fp8, dict, "lpips"),
        ("sdxl", lambda model: model, dict, "lpips"),
        ("flux", lambda model: model, dict, "style"),
        ("qwen_image", lambda model: model, dict, "lpips"),
    ],
)
def test_the_gradient_agrees_with_finite_differences(family, change, options, loss, monkeypatch):
    """Through loss, VAE, CFG, model and whatever hangs on it: asked for inside of a run, where it is needed."""
    rises = []

    def spy(x, step, denoise, params, similarity):
        shifts, canvas = guidance_shifts(x, step, denoise, params, similarity), canvas_size(x)
        anchor, window = params.windows.plan(canvas)
        # Else ups and downs cancel, and rounding is what is left.
        direction = shifts[window].sign() * torch.rand(shifts[window].shape, generator=torch.Generator().manual_seed(8))

        def distance(view):
            with torch.no_grad():
                return similarity.distance(denoise(view, step.sigma, [window], canvas), reference).double()

        with torch.no_grad():
            reference = similarity.features(denoise(crop(x, anchor), step.sigma, [anchor], canvas))
        view, size = crop(x, window), 1e-3 * step.sigma
        slope = (distance(view + size * direction) - distance(view - size * direction)) / (2 * size)
        variance = signal(step.sigma, step.flow) ** 2 + step.sigma**2  # of the paper's x_t, for losses of pictures
        weight = params.sync.weight_at(step) * (1 if loss == "latent" else variance)
        rises.append(((shifts[window] * direction).sum() / -weight, slope.sum()))
        return shifts

    monkeypatch.setattr(gradient_guidance, "guidance_shifts", spy)
    plan, shape = windows(stride=Size(4, 4)), SHAPES.get(family, (1, 4, 4, 8))
    model = change(lively(getattr(tiny_models, family)()))
    vae = None if loss == "latent" else VAES.get(family, tiny_models.vae)()
    guided = synchronised(model, loss, WEAK, plan, vae=vae, guidance="gradient", anchor_x=0.0)
    run(guided, torch.zeros(shape), steps=1, prompt=prompts(family, **options()))
    ((found, expected),) = rises
    assert found.item() == pytest.approx(expected.item(), rel=2e-2)


def test_half_precision_gives_the_gradient_of_full_precision():
    """Of a mean over a picture it is so small that float16 could not hold it on its way through the model."""
    results = []
    for dtype in (torch.float32, torch.float16):
        model, vae = tiny_models.sd15(dtype=dtype), tiny_models.vae()
        vae.vae_dtype = dtype
        vae.first_stage_model.to(dtype)
        latent = torch.zeros(1, 4, 4, 8)
        plain = run(with_settings(model, windows=windows()), latent, steps=1)
        results.append(run(synchronised(model, "lpips", vae=vae, guidance="gradient"), latent, steps=1) - plain)
    full, half = results
    assert (half - full).norm() < 0.05 * full.norm()


def sync_over_http(**inputs):
    """LoadDemoModel to SaveImage through Sync Guidance, on a canvas of two windows."""

    def text(words):
        return {"class_type": "CLIPTextEncode", "inputs": {"clip": ["demo", 1], "text": words}}

    guidance = {"model": ["demo", 0], "weight": 20.0, "loss": "latent", **inputs}
    return {
        "demo": {"class_type": "LoadDemoModel", "inputs": {}},
        "positive": text("a winter lake at dawn"),
        "negative": text(""),
        "latent": {"class_type": "PanoramaLatent", "inputs": {"width": 192, "height": 128, "batch_size": 1}},
        "sync": {"class_type": "SyncGuidance", "inputs": guidance},
        "sampler": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["sync", 0],
                "seed": 3,
                "steps": 3,
                "cfg": 2.0,
                "sampler_name": "euler",
                "scheduler": "karras",
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent_image": ["latent", 0],
                "denoise": 1.0,
            },
        },
        "decode": {"class_type": "PanoramaDecode", "inputs": {"samples": ["sampler", 0], "vae": ["demo", 2]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "sync"}},
    }


def test_on_the_server(server, perceptual):
    """There the weights of everything are loaded in inference mode, those of VGG-16 among them."""

    def paint(**inputs):
        return server.images(server.run(sync_over_http(**inputs)), "save")[0]

    style = {"loss": "style", "vae": ["demo", 2]}
    with pytest.raises(PromptFailed, match=r'(?s)The loss "style" needs .*Put vgg16.* into .*perceptual'):
        paint(**style)
    folder = server.base / "models" / FOLDER
    folder.mkdir(parents=True)
    save_file(perceptual, folder / "random.safetensors")
    with pytest.raises(PromptFailed, match="vae: the loss style compares decoded pictures; connect a VAE"):
        paint(loss="style")

    plain = paint(weight=0.0)
    assert np.array_equal(paint(weight=0.0, **style), plain)
    for guidance in GUIDANCES:
        for guided in (paint(guidance=guidance), paint(guidance=guidance, weight=1000.0, **style)):
            assert np.abs(guided - plain).mean() > 1e-3
            assert guided.std() > 0.05
    shutil.rmtree(folder)


def test_a_controlnet_beside_a_direct_loss_of_pictures(sd15, vae, perceptual):
    """Gradients flow through the VAE only: the ControlNet, whose weights want gradients, must not notice."""
    guided, plain = (
        run(model, torch.zeros(1, 4, 4, 8), steps=2, prompt=prompts(**with_control()))
        for model in (synchronised(sd15, "style", vae=vae), with_settings(sd15, windows=windows()))
    )
    assert guided.isfinite().all()
    assert not torch.equal(guided, plain)

"""Twin Images on the host: every sampler on a tiny model, and the node on the bundled one."""

import comfy.k_diffusion.sampling
import comfy.sample
import comfy.samplers
import latent_preview
import oracles
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.twin_images import TwinImages as Twin
from joint_diffusion.core.methods.twindiffusion import CropFusionParams
from joint_diffusion.nodes.host.demo_model import demo_clip, demo_model
from joint_diffusion.nodes.host.joined.sampler import joined_sampler
from joint_diffusion.nodes.host.joined.twin_images import overlap_of
from joint_diffusion.nodes.twin_images import TwinImages
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")

STEPS, OVERLAP = 4, 4
SHAPE = torch.Size((3, 4, 8, 8))


@pytest.fixture(scope="module")
def sd15():
    return tiny_models.sd15()


@pytest.fixture(scope="module")
def demo():
    """MODEL and two CONDITIONINGs."""
    clip = demo_clip()
    return demo_model(), *(clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("summer lake day", ""))


def twins(lam=1.0, stop=0.5, fixed_reference=False):
    params = CropFusionParams(adjacency=lam, stop=stop)
    return Twin(overlap=OVERLAP, crop_fusion=params, fixed_reference=fixed_reference)


def sigmas_of(model, name):
    return comfy.samplers.KSampler(model, STEPS, model.load_device, sampler=name, scheduler="karras").sigmas


def run(model, name, twin, **options):
    """What the sampler ends with, in the model's own space."""
    latent = torch.zeros(SHAPE)
    samples = comfy.sample.sample_custom(
        model,
        twin.noise(comfy.sample.prepare_noise(latent, 3)),
        3.0,
        joined_sampler(name, SHAPE, twin),
        sigmas_of(model, name),
        prompt(1),
        prompt(2),
        latent,
        disable_pbar=True,
        seed=3,
        **options,
    )
    return model.model.process_latent_in(samples)


def left(picture):
    return picture[..., :OVERLAP]


def right(picture):
    return picture[..., -OVERLAP:]


def close(actual, expected, scale=1e-4):
    torch.testing.assert_close(actual, expected, rtol=0, atol=scale * expected.abs().max().item())


@pytest.mark.parametrize("name", comfy.samplers.SAMPLER_NAMES)
def test_every_sampler_fuses_the_twin_and_leaves_the_others_alone(sd15, name):
    """Also samplers that add noise: to the difference as well as to the pictures."""
    first, second, twin = run(sd15, name, twins(stop=0.0))
    close(twin, second)
    apart = left(second) - right(first)
    assert apart.abs().max() > 0.01 * first.std()

    mean = run(sd15, name, twins(lam=2.0, stop=1.0, fixed_reference=True))
    close(left(mean[2]), (right(mean[0]) + 2 * left(mean[1])) / 3)
    close(mean[2, ..., OVERLAP:], mean[1, ..., OVERLAP:])

    # A lambda of 0.01 leaves a hundredth of the difference, where the sampler's last word is followed by a fusion.
    drawn = run(sd15, name, twins(lam=0.01, stop=1.0))
    assert (left(drawn[2]) - right(drawn[0])).norm() < 0.1 * (left(drawn[1]) - right(drawn[0])).norm()
    assert drawn[2].std() < 1.5 * drawn[1].std()

    if name != "dpm_adaptive":  # errors of all pictures decide its steps
        assert torch.equal(mean[:2], torch.stack([first, second]))
        assert torch.equal(drawn[:2], mean[:2])


def denoised_alone(model):
    """What the host predicts for one picture by itself, after CFG."""

    def denoise(x, sigma):
        seen = []

        def step(model, noise, sigmas, extra_args=None, callback=None, disable=None):
            seen.append(model(x[None], sigma * x.new_ones(1), **extra_args))
            return noise

        none = torch.zeros_like(x[None])
        sampler, sigmas = comfy.samplers.KSAMPLER(step), torch.tensor([sigma, 0.0])
        comfy.sample.sample_custom(
            model, none, 3.0, sampler, sigmas, prompt(1), prompt(2), none, disable_pbar=True, seed=3
        )
        return seen[0][0]

    return denoise


@pytest.mark.parametrize("fixed_reference", [False, True])
def test_euler_equals_section_4_1(sd15, fixed_reference):
    started = []
    twin = twins(lam=0.7, fixed_reference=fixed_reference)
    result = run(sd15, "euler", twin, callback=lambda i, denoised, x, n: started.append(x.clone()))
    z1, z2, z3 = started[0]
    assert torch.equal(right(z1), left(z2))
    assert torch.equal(z2, z3)
    levels = sigmas_of(sd15, "euler").tolist()
    literal = oracles.twin_images(z1, z2, levels, denoised_alone(sd15), OVERLAP, 0.7, 0.5, fixed_reference)
    close(result, torch.stack(literal))


def test_ancestral_steps_are_fused_after_their_noise(sd15, monkeypatch):
    """euler_ancestral: down along the flow, up with noise, and then Crop Fusion."""
    generator = torch.Generator().manual_seed(0)
    noises = [torch.randn(SHAPE, generator=generator) for _ in range(STEPS)]
    draw, started = iter(noises), []
    twin = twins(stop=1.0)
    monkeypatch.setattr(
        "joint_diffusion.nodes.host.joined.sampler.default_noise_sampler", lambda *_, **__: lambda *_: next(draw)
    )
    result = run(sd15, "euler_ancestral", twin, callback=lambda i, denoised, x, n: started.append(x.clone()))
    x, denoise = started[0], denoised_alone(sd15)
    levels = sigmas_of(sd15, "euler_ancestral")
    for sigma, following, noise in zip(levels, levels[1:], noises, strict=False):
        down, up = comfy.k_diffusion.sampling.get_ancestral_step(sigma, following)
        shared = noise.clone()
        left(shared[1])[:] = right(noise[0])
        shared[2] = shared[1]
        x = torch.stack([oracles.ddim_step(row, sigma.item(), float(down), denoise) for row in x]) + up * shared
        left(x[2])[:] = (right(x[0]) + left(x[2])) / 2
    close(result, x)


def test_the_preview_shows_pictures(sd15):
    """The difference that a sampler steps for the twin is nobody's picture."""
    shown = []
    run(sd15, "euler", twins(stop=1.0), callback=lambda i, denoised, x, n: shown.append(denoised.clone()))
    _, second, twin = shown[0]
    assert (left(twin) - left(second)).abs().max() < 1e-4  # the same noise, not yet aligned
    assert (left(shown[-1][2]) - right(shown[-1][0])).norm() < (left(shown[-1][1]) - right(shown[-1][0])).norm()


def sample(model, positive, negative, **changes):
    """LATENT of the node."""
    values = {
        "seed": 1,
        "steps": 4,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "karras",
        "width": 0,
        "height": 0,
        "overlap": 0.5,
        "adjacency": 1.0,
        "stop": 0.5,
    }
    (latent,) = TwinImages.execute(model, positive=positive, negative=negative, **{**values, **changes}).result
    return latent["samples"]


def test_the_twin_fits_the_first_picture_and_keeps_its_own_side(demo):
    first, second, twin = sample(*demo, steps=12, stop=0.5)
    apart = (second[..., :8] - first[..., 8:]).square().mean()
    assert (twin[..., :8] - first[..., 8:]).square().mean() < 0.7 * apart
    assert (twin[..., 8:] - second[..., 8:]).square().mean() < apart


def test_the_first_picture_is_that_of_ksampler(demo):
    model, positive, negative = demo
    latent = torch.zeros(1, 8, 16, 16)
    noise = comfy.sample.prepare_noise(latent, 1)
    alone = comfy.sample.sample(
        model, noise, 4, 2.0, "euler", "karras", positive, negative, latent, seed=1, disable_pbar=True
    )
    torch.testing.assert_close(sample(*demo)[:1], alone, rtol=0, atol=1e-4)


def test_the_same_seed_is_the_same_twin(demo):
    first, again, other = (sample(*demo, seed=seed, sampler_name="dpmpp_sde") for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.05)


def test_one_batch_and_one_preview_of_all(demo, monkeypatch):
    shown, rows = [], []
    monkeypatch.setattr(
        latent_preview, "prepare_callback", lambda *_: lambda step, denoised, *_: shown.append(denoised)
    )
    model = demo[0].clone()
    model.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    sample(model, *demo[1:], width=192, height=96)
    assert rows == [2 * 3] * 4
    assert [sheet.shape for sheet in shown] == [(1, 8, 24, 48)] * 4


@pytest.mark.parametrize(("family", "shape"), [("sdxl", (4,)), ("flux", (16,)), ("qwen_image", (16, 1))])
def test_every_family(family, shape):
    pooled = {"sdxl": 1280, "flux": 32}.get(family)
    options = {"pooled_output": torch.ones(1, pooled)} if pooled else {}
    model = getattr(tiny_models, family)()
    pictures = sample(model, prompt(1, **options), prompt(2, **options), width=128, height=64, stop=1.0, adjacency=0.01)
    assert pictures.shape == (3, *shape, 8, 16)
    first, second, twin = pictures
    assert (twin[..., :8] - first[..., 8:]).norm() < 0.1 * (second[..., :8] - first[..., 8:]).norm()


def test_the_overlap_lies_on_the_grid_of_the_model(sd15):
    assert [overlap_of(sd15, Size(16, 16), part) for part in (0.1, 0.3, 0.5, 1.0)] == [2, 4, 8, 14]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlap": 0.0}, r"overlap: must be at least 0\.25, one step of the model's grid.*got 0\.0; the pictures"),
        ({"width": 100}, r"width: must be a multiple of 32 pixels.*got 100; nearest: 96 or 128"),
        ({"adjacency": 0.0}, r"adjacency \(lambda\): must be a number above 0, got 0\.0"),
        (
            {"adjacency": 1e-20, "steps": 8},
            r"adjacency \(lambda\): 1e-20 in 4 steps makes the difference.*; choose a larger lambda",
        ),
        ({"stop": 1.5}, r"stop: must be in 0\.\.1 .*, got 1\.5"),
    ],
)
def test_wrong_input(demo, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(*demo, **changes)

"""Every sampler of the host with the predictions and the noise of one zoom stack."""

import comfy.sample
import comfy.samplers
import oracles
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.powers_of_ten import blend, render_image, render_noise
from joint_diffusion.core.zoom.geometry import footprints
from joint_diffusion.nodes.host.joined import sampler
from joint_diffusion.nodes.host.joined.level_batches import LevelBatches
from joint_diffusion.nodes.host.joined.level_prompts import of_all_levels
from joint_diffusion.nodes.host.joined.sampler import joined_sampler
from joint_diffusion.nodes.host.joined.zoom_stack import JoinedStack
from joint_diffusion.nodes.host.windows.patch import with_settings
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")

P, STEPS = 2, 4
SHAPE, SHAPE_OF_FLUX = (3, 4, 8, 8), (3, 16, 8, 8)
# They end above the noise level 0, ComfyUI's own rule for them.
LEAVE_NOISE = {"dpm_fast", "dpm_adaptive", "uni_pc", "uni_pc_bh2"}


@pytest.fixture(scope="module")
def sd15():
    with torch.inference_mode():
        return tiny_models.sd15()


@pytest.fixture(scope="module")
def flux():
    with torch.inference_mode():
        return tiny_models.flux()


def text(seed):
    return prompt(seed, pooled_output=torch.zeros(1, 32))


def join(denoised, step=0, steps=1):
    return render_image(blend(denoised, P), P)


def shared(noise):
    return render_noise(noise, P)


def zoom_sampler(name, shape, join, noise):
    return joined_sampler(name, shape, JoinedStack(join, noise))


def run(model, shape, sampler, sigmas, positive=None, callback=None):
    """As a node samples; gives what the sampler ends with, in the model's own space."""
    latent = torch.zeros(shape)
    noise = shared(comfy.sample.prepare_noise(latent, 3))
    positive, negative = positive or text(1), text(2)
    samples = comfy.sample.sample_custom(
        model, noise, 3.0, sampler, sigmas, positive, negative, latent, callback=callback, disable_pbar=True, seed=3
    )
    return model.model.process_latent_in(samples)


def sigmas_of(model, name, scheduler="karras"):
    return comfy.samplers.KSampler(model, STEPS, model.load_device, sampler=name, scheduler=scheduler).sigmas


def as_it_is(levels, *_):
    return levels


@pytest.mark.parametrize("name", comfy.samplers.SAMPLER_NAMES)
def test_without_joining_a_sampler_is_what_it_was(flux, name):
    """The very noise that it would have drawn itself, Brownian paths included."""
    sigmas = sigmas_of(flux, name)
    expected = run(flux, SHAPE_OF_FLUX, comfy.samplers.sampler_object(name), sigmas)
    assert torch.equal(
        run(flux, SHAPE_OF_FLUX, zoom_sampler(name, SHAPE_OF_FLUX, as_it_is, as_it_is), sigmas), expected
    )


@pytest.mark.parametrize(("name", "on_cpu"), [("dpmpp_2m_sde", True), ("dpmpp_2m_sde_gpu", False)])
def test_brownian_paths_are_drawn_where_the_host_draws_them(flux, monkeypatch, name, on_cpu):
    """The same for a CPU, but not for a GPU."""
    drawn, draw = [], sampler.BrownianTreeNoiseSampler
    monkeypatch.setattr(
        sampler, "BrownianTreeNoiseSampler", lambda *args, **how: (drawn.append(how["cpu"]), draw(*args, **how))[1]
    )
    run(flux, SHAPE_OF_FLUX, zoom_sampler(name, SHAPE_OF_FLUX, as_it_is, as_it_is), sigmas_of(flux, name))
    assert drawn == [on_cpu]


@pytest.mark.parametrize("name", comfy.samplers.SAMPLER_NAMES)
def test_levels_agree_after_any_sampler_and_share_what_noise_it_draws(sd15, name):
    drawn = []

    def render(noise):
        drawn.append(shared(noise))
        return drawn[-1]

    levels = run(sd15, SHAPE, zoom_sampler(name, SHAPE, join, render), sigmas_of(sd15, name))
    rest = (levels - render_image(levels, P)).abs().max() / levels.std()
    assert rest < (0.1 if name in LEAVE_NOISE else 1e-4)
    if name not in LEAVE_NOISE:
        stochastic = any(part in name for part in ("ancestral", "sde", "ddpm", "lcm", "seeds", "sa_solver"))
        assert bool(drawn) == stochastic
    for noise in drawn:
        assert noise.std() == pytest.approx(1, abs=0.1)
        torch.testing.assert_close(shared(noise), noise, rtol=0, atol=1e-4)


def denoised_alone(model, positive, x, sigma):
    """What the host predicts for one level by itself, after CFG."""
    seen = []

    def step(model, noise, sigmas, extra_args=None, callback=None, disable=None):
        seen.append(model(x[None], sigma * x.new_ones(1), **extra_args))
        return noise

    none = torch.zeros_like(x[None])
    sigmas = torch.tensor([sigma, 0.0])
    comfy.sample.sample_custom(
        model, none, 3.0, comfy.samplers.KSAMPLER(step), sigmas, positive, text(2), none, disable_pbar=True, seed=3
    )
    return seen[0][0]


@pytest.mark.parametrize("name", ["euler_ancestral", "euler"])
def test_a_step_is_the_papers_algorithm(sd15, name):
    """The literal loop of Algorithm 2 over levels, each with the model called for it alone."""
    shape = SHAPE
    levels = [text(seed) for seed in range(3)]
    sigmas = torch.tensor([5.0, 3.0, 1.0])
    noises = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    draw = iter(noises)
    patched = sd15.clone()
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "zoom", LevelBatches(3))
    xs = []
    sampler = zoom_sampler(name, shape, join, lambda _: shared(next(draw)))
    result = run(
        patched, shape, sampler, sigmas, of_all_levels(levels), callback=lambda i, denoised, x, n: xs.append(x.clone())
    )

    denoisers = [lambda x, sigma, level=level: denoised_alone(sd15, level, x, sigma) for level in levels]
    ways = footprints(Size(*shape[-2:]), P)
    z = xs[0]
    for sigma, sigma_next, noise in zip(sigmas.tolist(), sigmas.tolist()[1:], noises, strict=False):
        stepped = torch.stack(oracles.zoom_step(z, sigma, sigma_next, denoisers, P, ways, noise))
        if name == "euler":
            stepped = torch.stack(literal_euler(z, sigma, sigma_next, denoisers, ways))
        z = stepped
    torch.testing.assert_close(result.double(), z.double(), rtol=0, atol=1e-4 * z.abs().max().item())


def literal_euler(z, sigma, sigma_next, denoisers, ways):
    denoised = [denoise(level, sigma) for denoise, level in zip(denoisers, z, strict=True)]
    layers = [oracles.blend(denoised, level, P, ways) for level in range(len(z))]
    rendered = [oracles.render(layers, level, P, noise=False) for level in range(len(z))]
    return [x + sigma_next / sigma * (level - x) for level, x in zip(z, rendered, strict=True)]


def test_cfg_pp_samplers_step_along_a_joined_prediction(sd15):
    """x is a rendered image plus rendered noise; were the unconditional prediction not joined, x would have a rest."""
    shape, sigmas, xs = SHAPE, sigmas_of(sd15, "euler_cfg_pp"), []
    sampler = zoom_sampler("euler_cfg_pp", shape, join, shared)
    run(sd15, shape, sampler, sigmas, callback=lambda i, denoised, x, n: xs.append(x.clone()))
    noise = xs[0] / sigmas[0]
    image = xs[2] - sigmas[2] * noise
    torch.testing.assert_close(render_image(image, P), image, rtol=0, atol=1e-4 * image.abs().max().item())


def test_hooks_of_other_nodes_see_what_the_model_says(sd15):
    """A post-CFG function of a node gets the predictions as they are, each once."""
    seen = []
    model = sd15.clone()
    model.set_model_sampler_post_cfg_function(lambda args: (seen.append(args["uncond_denoised"]), args["denoised"])[1])
    run(model, SHAPE, zoom_sampler("euler_cfg_pp", SHAPE, join, shared), sigmas_of(model, "euler_cfg_pp"))
    assert len(seen) == STEPS
    assert (join(seen[0]) - seen[0]).abs().max() > 1e-3


def test_joining_is_told_the_step_also_by_samplers_that_ask_twice(sd15):
    asked = []
    sampler = zoom_sampler("heun", SHAPE, lambda x, step, steps: (asked.append((step, steps)), x)[1], shared)
    run(sd15, SHAPE, sampler, sigmas_of(sd15, "heun"))
    assert asked == [(0, 4), (1, 4), (1, 4), (2, 4), (2, 4), (3, 4), (3, 4)]


class Listening:
    """Joins nothing, and writes down how many steps are done."""

    def __init__(self):
        self.told = []

    def noise(self, noise):
        return noise

    def pictures(self, rows, done, steps):
        return rows

    def rows(self, denoised, done, steps):
        self.told.append(done)
        return denoised


def test_joining_is_told_which_part_of_a_step_is_done(sd15):
    """DPM 2 asks half way in the logarithm: from 8 to 2 at 4, after two thirds of the way."""
    listening = Listening()
    run(sd15, SHAPE, joined_sampler("dpm_2", SHAPE, listening), torch.tensor([8.0, 2.0, 0.5, 0.0]))
    assert listening.told == pytest.approx([0, 2 / 3, 1, 1 + 2 / 3, 2])


def test_rehearsals_stand_aside(sd15, caplog):
    """Multi-Scale Guidance lets the sampler rehearse on a handful of numbers."""
    shape, asked = (2, 4, 32, 32), []
    windows = WindowParams(window=Size(16, 16), stride=Size(8, 8), grid=2)
    model = with_settings(sd15, windows=windows, multiscale=MultiScaleParams())
    sampler = zoom_sampler("euler_ancestral", shape, lambda x, *_: (asked.append(x.shape), join(x))[1], shared)
    result = run(model, shape, sampler, torch.tensor([5.0, 1.0]))
    assert asked == [shape]
    assert result.isfinite().all()
    assert "first-order sampler" not in caplog.text

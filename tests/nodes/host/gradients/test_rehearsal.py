"""What samplers keep of x, against what their own formulas say."""

from itertools import pairwise

import comfy.k_diffusion.sampling
import comfy.samplers
import pytest
import tiny_models
import torch
from joint_diffusion.nodes.host.gradients.rehearsal import kept_per_step

SIGMAS = torch.tensor([14.6, 9.0, 5.0, 2.5, 1.0, 0.3, 0.03, 0.0])
REHEARSED = (
    "euler", "ddim", "heun", "dpm_2", "heunpp2", "lms", "dpmpp_2m", "ipndm", "deis", "res_multistep", "uni_pc",
    "euler_cfg_pp", "dpmpp_2m_cfg_pp", "gradient_estimation", "exp_heun_2_x0", "dpm_fast", "dpm_adaptive",
)  # fmt: skip


@pytest.fixture(scope="module")
def guider():
    guider = comfy.samplers.CFGGuider(tiny_models.sd15())
    guider.inner_model = guider.model_patcher.model
    return guider


def kept(guider, sampler):
    arguments = {"model_options": {"transformer_options": {"sample_sigmas": SIGMAS}}, "seed": 5}
    return kept_per_step(comfy.samplers.sampler_object(sampler), guider, SIGMAS, arguments)


def first_order():
    return (SIGMAS[1:] / SIGMAS[:-1]).tolist()


@pytest.mark.parametrize("sampler", REHEARSED)
def test_samplers_of_the_probability_flow_keep_what_euler_keeps(guider, sampler):
    assert kept(guider, sampler) == pytest.approx(first_order(), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2s_ancestral", "euler_ancestral_cfg_pp"])
def test_ancestral_samplers_keep_what_their_step_down_leaves(guider, sampler):
    expected = []
    for before, after in pairwise(SIGMAS):
        down, _ = comfy.k_diffusion.sampling.get_ancestral_step(before, after)
        expected.append(float(down / before))
    assert kept(guider, sampler) == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_lcm_keeps_nothing(guider):
    assert kept(guider, "lcm") == pytest.approx([0.0] * 7, abs=1e-6)


@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_every_sampler_rehearses_and_keeps_no_more_than_the_flow(guider, sampler, caplog):
    torch.manual_seed(3)
    before, sigmas = torch.get_rng_state(), SIGMAS.clone()
    for part, flow in zip(kept(guider, sampler), first_order(), strict=True):
        assert 0 <= part <= flow * 1.002 + 1e-6
    assert not caplog.records, "the rehearsal failed"
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(SIGMAS, sigmas)


def test_a_sampler_that_cannot_rehearse_is_taken_for_first_order(guider, caplog):
    def difficult(model, x, sigmas, **_):
        raise KeyError("needs a real model")

    sampler = comfy.samplers.KSAMPLER(difficult)
    arguments = {"model_options": {}, "seed": 5}
    assert kept_per_step(sampler, guider, SIGMAS, arguments) == pytest.approx(first_order())
    assert "takes 'difficult' for a first-order sampler" in caplog.text


@pytest.mark.parametrize(("sampler", "last"), [("lcm", 0.0), ("euler_ancestral", 0.16), ("euler", 0.4)])
def test_the_last_step_of_a_first_stage_is_heard_too(guider, sampler, last):
    sigmas = SIGMAS[:5]  # ends at 1, for a second sampler to go on
    arguments = {"model_options": {"transformer_options": {"sample_sigmas": sigmas}}, "seed": 5}
    heard = kept_per_step(comfy.samplers.sampler_object(sampler), guider, sigmas, arguments)
    assert len(heard) == 4
    assert heard[-1] == pytest.approx(last, rel=2e-3, abs=1e-6)


def test_hooks_of_other_nodes_do_not_take_part(guider):
    def hook(args):
        raise AssertionError("called in a rehearsal")

    options = {"transformer_options": {}, "sampler_post_cfg_function": [hook]}
    sampler = comfy.samplers.sampler_object("euler_cfg_pp")
    assert kept_per_step(sampler, guider, SIGMAS, {"model_options": options, "seed": 5}) == pytest.approx(
        first_order(), rel=2e-3, abs=1e-6
    )

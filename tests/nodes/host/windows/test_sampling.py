"""Joint sampling in the real host, with tiny models of its own classes."""

from types import SimpleNamespace

import comfy.hooks
import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy_extras.nodes_easycache
import oracles
import pytest
import sampling_run
import tiny_models
import torch
from joint_diffusion.core.canvas.fusion import window_weights
from joint_diffusion.core.canvas.windows import Size, Wrap
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams
from joint_diffusion.nodes.host.settings import settings_of
from joint_diffusion.nodes.host.windows.patch import with_settings
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 4), "weights": "gaussian", "grid": 2, **options})


GRADIENT = MultiScaleParams(guidance="gradient", weight=1.0)


@pytest.fixture(scope="module")
def sd15():
    return tiny_models.sd15()


def run(model, latent, positive=None, negative=None, **options):
    return sampling_run.run(model, latent, prompt=(positive or prompt(1), negative or prompt(2)), **options)


def test_one_window_over_the_canvas_is_the_plain_sampler(sd15):
    latent = torch.zeros(2, 4, 8, 8)
    plain = run(sd15, latent)
    torch.testing.assert_close(run(with_settings(sd15, windows=windows()), latent), plain, rtol=1e-4, atol=1e-4)


def test_an_encoder_that_adds_noise_draws_the_run_s_own_for_windows():
    """SDXL's picture prompts: the size, which differs for windows, is encoded in one tensor with them."""
    picture = SimpleNamespace(image_embeds=torch.zeros(1, 1, 1280))
    part = {"clip_vision_output": picture, "strength": 1.0, "noise_augmentation": 0.5}
    seen = []
    model = tiny_models.sdxl()
    model.set_model_unet_function_wrapper(
        lambda apply, args: (seen.append(args["c"]["y"]), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    both, latent = {"unclip_conditioning": [part]}, torch.zeros(1, 4, 8, 12)
    for patched in (model, with_settings(model, windows=windows())):
        run(patched, latent, steps=1, positive=prompt(1, **both), negative=prompt(2, **both))
    canvas, view = (rows[0] for rows in seen)
    assert torch.equal(view[:1280], canvas[:1280])
    assert canvas[:1280].std() > 0.1
    assert not torch.equal(view, canvas)


@pytest.mark.parametrize("wrap", [Wrap(), Wrap(x=True)])
def test_windows_per_batch_change_nothing(sd15, wrap):
    latent = torch.zeros(2, 4, 12, 20)
    results = [run(with_settings(sd15, windows=windows(wrap=wrap, batch=n)), latent) for n in (0, 1, 3)]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)


def test_a_batch_of_panoramas_equals_its_panoramas(sd15):
    model, latent = with_settings(sd15, windows=windows()), torch.zeros(2, 4, 8, 20)
    noise = comfy.sample.prepare_noise(latent, 1)
    torch.testing.assert_close(run(model, latent)[1:], run(model, latent[1:], noise=noise[1:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("guidance", [None, MultiScaleParams(), GRADIENT])
@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen_image"])
def test_other_families(family, guidance):
    model = getattr(tiny_models, family)()
    shape = {"sdxl": (1, 4, 16, 24), "flux": (1, 16, 16, 24), "qwen_image": (1, 16, 1, 16, 24)}[family]
    pooled = {"sdxl": {"pooled_output": torch.randn(1, 1280)}, "flux": {"pooled_output": torch.randn(1, 32)}}
    options = pooled.get(family, {})
    result = run(
        with_settings(model, windows=windows(), multiscale=guidance),
        torch.zeros(shape),
        positive=prompt(1, **options),
        negative=prompt(2, **options),
    )
    assert result.shape == shape
    assert result.isfinite().all()


def test_node_order_does_not_matter(sd15):
    latent, guidance = torch.zeros(1, 4, 16, 24), MultiScaleParams()
    one = with_settings(with_settings(sd15, windows=windows()), multiscale=guidance)
    other = with_settings(with_settings(sd15, multiscale=guidance), windows=windows())
    assert torch.equal(run(one, latent), run(other, latent))


def test_the_users_model_is_not_changed(sd15):
    latent = torch.zeros(1, 4, 8, 12)
    before = run(sd15, latent)
    run(with_settings(sd15, windows=windows(), multiscale=MultiScaleParams(scales=1)), latent)
    assert torch.equal(run(sd15, latent), before)
    assert "joint_diffusion" not in sd15.model_options["transformer_options"]


def count_rows(model):
    """Wrap the network of a clone so that it counts the rows it is called with."""
    rows = []
    clone = model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply, args: (rows.append(len(args["input"])), apply(args["input"], args["timestep"], **args["c"]))[1]
    )
    return clone, rows


def test_a_prompt_is_not_run_in_windows_that_its_mask_leaves_empty(sd15):
    model, rows = count_rows(with_settings(sd15, windows=windows()))
    mask = torch.zeros(1, 64, 192)
    mask[..., :32] = 1  # the left 4 of 24 cells: only the first of 5 windows
    run(model, torch.zeros(1, 4, 8, 24), steps=1, positive=prompt(1) + prompt(3, mask=mask))
    assert sum(rows) == 5 * 2 + 1


@pytest.mark.parametrize(("guidance", "looks"), [(MultiScaleParams(), 1), (GRADIENT, 2)], ids=["projected", "gradient"])
def test_model_rows_of_a_guided_step_are_the_least_possible(sd15, guidance, looks):
    model, rows = count_rows(with_settings(sd15, windows=windows(), multiscale=guidance))
    run(model, torch.zeros(1, 4, 16, 24), steps=1)
    fine, coarse = 3 * 5, 2  # windows at 32 x 48 and at 16 x 24
    assert sum(rows) == 2 * (looks * fine + coarse)


def test_interruption_stops_and_leaves_the_model_as_it_was(sd15):
    model = with_settings(sd15, windows=windows(batch=1), multiscale=GRADIENT)
    latent = torch.zeros(1, 4, 16, 16)
    expected = run(model, latent, steps=2)
    before = {name: value.clone() for name, value in sd15.model.state_dict().items()}

    def interrupt(*_):
        comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(model, latent, steps=2, callback=interrupt)
    assert all(torch.equal(value, before[name]) for name, value in sd15.model.state_dict().items())
    assert torch.equal(run(model, latent, steps=2), expected)


def test_memory_is_asked_for_a_window_not_for_the_canvas(sd15, monkeypatch):
    asked = []
    original = comfy.sampler_helpers.estimate_memory
    monkeypatch.setattr(
        comfy.sampler_helpers,
        "estimate_memory",
        lambda m, shape, c: (asked.append(tuple(shape)), original(m, shape, c))[1],
    )
    run(with_settings(sd15, windows=windows(batch=2)), torch.zeros(1, 4, 8, 200), steps=1)
    assert asked == [(1, 4, 8, 8)]


def test_an_out_of_memory_error_halves_the_batch(sd15):
    model, rows = count_rows(with_settings(sd15, windows=windows(batch=8)))
    wrapped = model.model_options["model_function_wrapper"]

    def short_of_memory(apply, args):
        if len(args["input"]) > 4:
            raise torch.cuda.OutOfMemoryError("no")
        return wrapped(apply, args)

    model.set_model_unet_function_wrapper(short_of_memory)
    latent = torch.zeros(1, 4, 8, 36)
    expected = run(with_settings(sd15, windows=windows()), latent, steps=1)
    torch.testing.assert_close(run(model, latent, steps=1), expected, rtol=1e-4, atol=1e-4)
    assert max(rows) == 4


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_an_out_of_memory_error_halves_the_batch_of_a_guided_pass(sd15, when):
    """For the rest of the run; predictions without gradients, which fit, stay as large as they were."""
    guided = with_settings(sd15, windows=windows(batch=8), multiscale=GRADIENT)
    model, tried = guided.clone(), {True: [], False: []}

    def short_of_memory(apply, args):
        rows, gradients = len(args["input"]), args["input"].requires_grad
        tried[gradients].append(rows)
        too_many = gradients and rows > 4
        if too_many and when == "forward":
            no_memory()
        predicted = apply(args["input"], args["timestep"], **args["c"])
        if too_many:
            predicted.register_hook(no_memory)
        return predicted

    model.set_model_unet_function_wrapper(short_of_memory)
    latent = torch.zeros(1, 4, 16, 24)
    torch.testing.assert_close(run(model, latent, steps=2), run(guided, latent, steps=2), rtol=1e-4, atol=1e-4)
    assert tried[True][:2] == [16, 8]
    assert max(tried[True][2:]) == 4
    assert max(tried[False]) == 16


def no_memory(*_):
    raise torch.cuda.OutOfMemoryError("no")


def test_context_windows_are_refused(sd15):
    model = with_settings(sd15, windows=windows())
    model.model_options["context_handler"] = object()
    with pytest.raises(ValueError, match="Remove one of the two nodes"):
        run(model, torch.zeros(1, 4, 8, 12))


def test_noise_masks_keep_what_they_keep(sd15):
    latent = torch.randn(1, 4, 8, 20)
    mask = torch.zeros(1, 1, 8, 20)
    mask[..., 10:] = 1
    result = run(with_settings(sd15, windows=windows()), latent, noise_mask=mask)
    torch.testing.assert_close(result[..., :10], latent[..., :10])
    assert (result[..., 10:] - latent[..., 10:]).abs().mean() > 0.1


def test_a_lora_on_the_model(sd15):
    latent, lora = torch.zeros(1, 4, 8, 20), tiny_models.lora_weights(sd15)
    with_lora, _ = comfy.sd.load_lora_for_models(sd15, None, lora, 1.0, 0.0)
    before = run(with_settings(with_lora, windows=windows()), latent)
    patched_later, _ = comfy.sd.load_lora_for_models(with_settings(sd15, windows=windows()), None, lora, 1.0, 0.0)
    assert torch.equal(run(patched_later, latent), before)
    assert (before - run(with_settings(sd15, windows=windows()), latent)).abs().max() > 1e-3


def test_lora_hooks_on_one_prompt(sd15):
    """One window over the canvas is the host's own result; several windows see the hook as well."""
    hooks = comfy.hooks.create_hook_lora(tiny_models.lora_weights(sd15), strength_model=1.0, strength_clip=0.0)
    hooked = {"positive": prompt(1, hooks=hooks)}
    small, wide = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 20)
    model = with_settings(sd15, windows=windows())
    torch.testing.assert_close(run(model, small, **hooked), run(sd15, small, **hooked), rtol=1e-4, atol=1e-4)
    assert (run(model, wide, **hooked) - run(model, wide)).abs().max() > 1e-3


def test_guided_euler_in_the_host_is_the_literal_step():
    """The U-Net called directly, differentiated by autograd as it is, CFG by hand, around it the paper's own loops."""
    omega, cfg, sigma_count = 0.02, 4.0, 3
    guidance = MultiScaleParams(guidance="gradient", scales=2, weight=omega, decay="constant")
    plan, latent = windows(stride=Size(8, 8)), torch.zeros(1, 4, 16, 16)
    with torch.inference_mode(False):
        model = tiny_models.sd15()
        positive, negative = prompt(1), prompt(2)
    model_guided = with_settings(model, windows=plan, multiscale=guidance)
    guided = run(model_guided, latent, positive=positive, negative=negative, cfg=cfg, steps=sigma_count)

    with torch.inference_mode(False):

        def denoise(view, sigma):
            level = torch.full((1,), sigma)
            cond, uncond = (
                model.model.apply_model(view[None], level, c_crossattn=context.clone())
                for ((context, _),) in (positive, negative)
            )
            return (uncond + cfg * (cond - uncond))[0]

        sampling = model.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", sigma_count)
        noise = comfy.sample.prepare_noise(latent.clone(), 1)
        x = sampling.noise_scaling(sigmas[0], noise, latent.clone(), True)[0]
        arguments = lambda *size: plan.plan(Size(*size)), window_weights("gaussian", Size(8, 8)), omega
        for sigma, after in zip(sigmas.tolist(), sigmas.tolist()[1:], strict=False):
            x = oracles.msd_step(x, sigma, after, denoise, *arguments, scales=2)
        expected = model.model.process_latent_out(x)[None].detach()
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    unguided = run(with_settings(model, windows=plan), latent, positive=positive, negative=negative, cfg=cfg, steps=3)
    assert (unguided - expected).abs().max() > 100 * (guided - expected).abs().max()


@pytest.mark.parametrize("guidance", [MultiScaleParams(), GRADIENT], ids=["projected", "gradient"])
def test_guided_windows_of_sdxl_are_told_their_own_size(guidance):
    """As if the user had set width and height to those of the window, in every pass."""
    model = with_settings(tiny_models.sdxl(), windows=windows(), multiscale=guidance)
    pooled, latent = {"pooled_output": torch.randn(1, 1280)}, torch.zeros(1, 4, 16, 16)
    size = {"width": 64, "height": 64}
    automatic = run(model, latent, positive=prompt(1, **pooled), negative=prompt(2, **pooled))
    told = run(model, latent, positive=prompt(1, **pooled, **size), negative=prompt(2, **pooled, **size))
    torch.testing.assert_close(automatic, told, rtol=1e-4, atol=1e-4)


def test_gradients_through_windows_of_different_prompts(sd15):
    """A masked prompt splits a batch of windows into calls of their own; the gradient must not notice."""
    mask = torch.zeros(1, 128, 128)
    mask[..., :50] = 1
    guidance, latent = GRADIENT, torch.zeros(1, 4, 16, 16)
    one_by_one, together = (
        run(
            with_settings(sd15, windows=windows(batch=batch), multiscale=guidance),
            latent,
            steps=2,
            positive=prompt(1) + prompt(3, mask=mask),
        )
        for batch in (1, 8)
    )
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-3)


def test_lora_hooks_refuse_gradients_and_name_the_way_out(sd15):
    hooks = comfy.hooks.create_hook_lora(tiny_models.lora_weights(sd15), strength_model=1.0, strength_clip=0.0)
    model, latent = with_settings(sd15, windows=windows()), torch.zeros(1, 4, 16, 16)
    with pytest.raises(RuntimeError, match='Choose guidance "projected"'):
        run(with_settings(model, multiscale=GRADIENT), latent, positive=prompt(1, hooks=hooks))
    free = run(with_settings(model, multiscale=MultiScaleParams()), latent, positive=prompt(1, hooks=hooks))
    assert free.isfinite().all()


def test_schedules_go_by_the_step_also_at_the_coarse_scale(sd15):
    """At half the noise level the coarse canvas would be past the end of a prompt that the fine one still has."""
    sigma_max = sd15.get_model_object("model_sampling").sigma_max
    guidance, latent = MultiScaleParams(), torch.zeros(1, 4, 16, 16)
    model = with_settings(sd15, windows=windows(), multiscale=guidance)
    always, early = prompt(3), prompt(3, end_percent=0.02)  # on at sigma_max, not at half of it
    assert sd15.get_model_object("model_sampling").percent_to_sigma(0.02) > sigma_max / 2
    torch.testing.assert_close(
        run(model, latent, steps=1, positive=early), run(model, latent, steps=1, positive=always), rtol=1e-4, atol=1e-4
    )
    image = torch.rand(1, 3, 128, 128)
    controls = [tiny_models.control_net().set_cond_hint(image, 0.9, span) for span in ((0.0, 1.0), (0.0, 0.02))]
    results = [run(model, latent, steps=1, positive=prompt(1, control=control)) for control in controls]
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


def test_hook_keyframes_go_by_the_step_also_at_the_coarse_scale(sd15):
    """A LoRA that ends below the step's noise level, and above that of the coarse canvas."""
    model, latent = with_settings(sd15, windows=windows(), multiscale=MultiScaleParams()), torch.zeros(1, 4, 16, 16)

    def hooked(*keyframes):
        hooks = comfy.hooks.create_hook_lora(tiny_models.lora_weights(sd15), strength_model=1.0, strength_clip=0.0)
        group = comfy.hooks.HookKeyframeGroup()
        for start, strength in keyframes:
            group.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
        hooks.set_keyframes_on_hooks(group)
        return run(model, latent, steps=1, positive=prompt(1, hooks=hooks))

    always = hooked((0.0, 1.0))
    torch.testing.assert_close(hooked((0.0, 1.0), (0.02, 0.0)), always, rtol=1e-4, atol=1e-4)
    assert (hooked((0.0, 0.0)) - always).abs().max() > 1e-3


def test_a_cfg_hook_may_ask_about_a_part_of_the_canvas(sd15):
    """It is then told what a canvas of that size would be: windows are planned and weighted anew."""
    noise = torch.randn(1, 4, 8, 20, generator=torch.Generator().manual_seed(1))
    asked, whole = [], []

    def ask(args):
        part = args["input"][..., :12].contiguous()
        asked.extend(
            comfy.samplers.calc_cond_batch(args["model"], [args["cond"]], part, args["sigma"], args["model_options"])
        )
        return args["denoised"]

    def listen(args):
        whole.append(args["cond_denoised"])
        return args["denoised"]

    for hook, start in ((ask, noise), (listen, noise[..., :12])):
        model = with_settings(sd15, windows=windows())
        model.set_model_sampler_post_cfg_function(hook)
        run(model, torch.zeros_like(start), noise=start, steps=1)
    torch.testing.assert_close(asked[0], whole[0], rtol=1e-4, atol=1e-4)


def averaging(begins_empty):
    """A CFG hook with a running mean in a variable, which holds None at first, or nothing at all."""

    def hook(arguments):
        nonlocal mean
        try:
            mean = arguments["denoised"] if mean is None else 0.5 * (mean + arguments["denoised"])
        except NameError:
            mean = arguments["denoised"]
        return mean

    mean = None
    if begins_empty:
        del mean
    return hook


@pytest.mark.parametrize("multiscale", [None, MultiScaleParams(scales=2)], ids=["one canvas", "several"])
def test_a_cfg_hook_may_begin_with_an_empty_variable(sd15, multiscale):
    found = []
    for begins_empty in (False, True):
        model = sd15.clone()
        model.set_model_sampler_post_cfg_function(averaging(begins_empty))
        found.append(run(with_settings(model, windows=windows(), multiscale=multiscale), torch.zeros(1, 4, 8, 32)))
    assert torch.equal(*found)


def test_twin_crop_fusion_when_unsampling_knows_its_steps(sd15):
    """Crop Fusion is on where there is more noise than picture, also where the noise rises."""
    rising = comfy.samplers.calculate_sigmas(sd15.get_model_object("model_sampling"), "simple", 4).flip(0)
    rising[0] = rising[1] / 10
    latent = torch.randn(1, 4, 8, 20, generator=torch.Generator().manual_seed(1))

    def unsample(sigmas, **method):
        guider = comfy.samplers.CFGGuider(with_settings(sd15, windows=windows(), **method))
        guider.set_conds(prompt(1), prompt(2))
        euler = comfy.samplers.sampler_object("euler")
        return guider.sample(torch.zeros_like(latent), latent, euler, sigmas, disable_pbar=True, seed=1)

    whole, half = CropFusionParams(stop=1.0), CropFusionParams(stop=0.5)
    plain = unsample(rising)
    assert (unsample(rising, crop_fusion=half) - plain).abs().max() > 1e-3
    assert (unsample(rising, crop_fusion=half) - unsample(rising, crop_fusion=whole)).abs().max() > 1e-4


def test_a_memory_that_ran_out_once_is_not_asked_again(sd15):
    calls = []
    model = with_settings(sd15, windows=windows(batch=8)).clone()

    def short_of_memory(apply, args):
        calls.append(len(args["input"]))
        if len(args["input"]) > 8:
            raise torch.cuda.OutOfMemoryError("no")
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(short_of_memory)
    run(model, torch.zeros(1, 4, 8, 36), steps=4)
    assert calls.count(16) == 1


@pytest.mark.parametrize(
    ("node", "guidance", "message"),
    [
        ("EasyCacheNode", None, "Panorama Windows cannot be combined with EasyCache.*Use LazyCache"),
        ("EasyCacheNode", MultiScaleParams(), "Guidance of windows cannot be combined with EasyCache.*Remove"),
        ("LazyCacheNode", MultiScaleParams(), "Guidance of windows cannot be combined with LazyCache.*Remove"),
    ],
)
def test_caches_that_know_no_windows_are_refused(sd15, node, guidance, message):
    cached = getattr(comfy_extras.nodes_easycache, node).execute(sd15, 0.9, 0.0, 1.0, False).args[0]
    with pytest.raises(ValueError, match=message):
        run(with_settings(cached, windows=windows(), multiscale=guidance), torch.zeros(1, 4, 16, 16))


def test_a_cache_of_whole_canvases_works(sd15):
    cached = comfy_extras.nodes_easycache.LazyCacheNode.execute(sd15, 1e-9, 0.0, 1.0, False).args[0]
    latent = torch.zeros(1, 4, 8, 20)
    plain = run(with_settings(sd15, windows=windows()), latent)
    torch.testing.assert_close(run(with_settings(cached, windows=windows()), latent), plain, rtol=1e-4, atol=1e-4)


def test_a_cfg_function_remembers_each_canvas_by_itself(sd15):
    """Else it would mix canvases of two sizes."""
    mean = None

    def mix(arguments):
        nonlocal mean
        guided = arguments["uncond"] + 4 * (arguments["cond"] - arguments["uncond"])
        mean = guided if mean is None else 0.5 * (mean + guided)
        return mean

    model = sd15.clone()
    model.set_model_sampler_cfg_function(mix)
    model = with_settings(model, windows=windows(), multiscale=MultiScaleParams(scales=2))
    assert run(model, torch.zeros(1, 4, 8, 32)).isfinite().all()
    assert mean is None


def test_gradients_refuse_rising_noise_levels(sd15):
    model = with_settings(sd15, windows=windows(), multiscale=GRADIENT)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(prompt(1), prompt(2))
    latent, sigmas = torch.zeros(1, 4, 16, 16), torch.tensor([0.1, 1.0, 5.0])
    with pytest.raises(ValueError, match=r"sigmas: guidance needs noise levels that fall"):
        guider.sample(latent, latent, comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True, seed=1)


def test_a_second_node_of_a_kind_replaces_the_first_and_says_so(sd15, caplog):
    model = with_settings(sd15, windows=windows(), multiscale=MultiScaleParams())
    with_settings(with_settings(model, windows=windows()), sync=SyncParams())
    assert not caplog.text
    replaced = with_settings(model, windows=windows(batch=3))
    assert "Panorama Windows: this model comes through a second node of this kind; the last one holds" in caplog.text
    assert settings_of(replaced.model_options).windows == windows(batch=3)


@pytest.mark.parametrize("guidance", ["projected", "gradient"])
def test_a_step_between_equal_noise_levels_goes_nowhere(sd15, guidance):
    params = MultiScaleParams(guidance=guidance, weight=1.0, scales=3)
    guider = comfy.samplers.CFGGuider(with_settings(sd15, windows=windows(), multiscale=params))
    guider.set_conds(prompt(1), prompt(2))
    noise = torch.randn(1, 4, 32, 32)

    def sample(*sigmas):
        euler = comfy.samplers.sampler_object("euler")
        return guider.sample(noise, torch.zeros_like(noise), euler, torch.tensor(sigmas), disable_pbar=True, seed=1)

    once = sample(5.0, 1.0)
    assert once.isfinite().all()
    for sigmas in ((5.0, 5.0, 1.0), (5.0, 1.0, 1.0)):
        torch.testing.assert_close(sample(*sigmas), once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_unsampling_is_that_of_the_plain_sampler(family):
    """Noise levels that rise, as for editing by inversion; a flow model's last one is 1, where nothing is left of x."""
    model = tiny_models.sd15() if family == "sd15" else tiny_models.flux()
    falling = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", 4)
    rising = falling.flip(0)
    rising[0] = rising[1] / 10  # the level of a finished picture is 0, by which Euler would divide
    latent = torch.randn(1, 4 if family == "sd15" else 16, 8, 8, generator=torch.Generator().manual_seed(1))

    def unsample(patched):
        guider = comfy.samplers.CFGGuider(patched)
        guider.set_conds(*sampling_run.prompts(family))
        seen = []
        euler, nothing = comfy.samplers.sampler_object("euler"), torch.zeros_like(latent)
        guider.sample(
            nothing,
            latent,
            euler,
            rising,
            callback=lambda step, x0, x, steps: seen.append(x0),
            disable_pbar=True,
            seed=1,
        )
        return torch.cat(seen)

    plain = unsample(model)
    torch.testing.assert_close(unsample(with_settings(model, windows=windows())), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("guidance", [None, MultiScaleParams()])
def test_a_single_noise_level_is_no_step(sd15, guidance):
    """What Split Sigmas leaves when all steps are on the other side."""
    model, latent = with_settings(sd15, windows=windows(), multiscale=guidance), torch.ones(1, 4, 16, 24)
    sigmas, noise = torch.tensor([2.0]), comfy.sample.prepare_noise(latent, 1)
    sampler = comfy.samplers.sampler_object("euler")
    found, plain = (
        comfy.sample.sample_custom(m, noise, 4.0, sampler, sigmas, prompt(1), prompt(2), latent, disable_pbar=True)
        for m in (model, sd15)
    )
    assert torch.equal(found, plain)

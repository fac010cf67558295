"""Windows on several devices: ComfyUI's own clones and threads; only the second device is the CPU by another name."""

import threading
import time
from functools import partial
from types import SimpleNamespace

import comfy.hooks
import comfy.model_management
import comfy.multigpu
import comfy.samplers
import pytest
import tiny_models
import torch
from comfy.model_management import InterruptProcessingException
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams
from joint_diffusion.nodes.host.windows.devices import Devices, shared_batch
from joint_diffusion.nodes.host.windows.patch import with_settings
from sampling_run import lively, run
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")

DEVICES = torch.device("cpu"), torch.device("cpu", 1)
LATENT = torch.zeros(2, 4, 8, 28)  # 6 windows
STEPS, WINDOWS_OF_A_STEP = 3, 6


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 4), "grid": 2, **options})


def loaded():
    """A model that says how it is loaded once more, as one of ComfyUI's loaders gives it."""
    model = lively(tiny_models.sd15())
    model.cached_patcher_init = (loaded, ())
    return model


@pytest.fixture
def sd15():
    return loaded()


@pytest.fixture
def on_two(monkeypatch):
    """What the node MultiGPU CFG Split does where there are two devices."""
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: [*DEVICES])
    return partial(comfy.multigpu.create_multigpu_deepclones, max_gpus=2)


@pytest.fixture
def asked(monkeypatch):
    """(device, rows) of every call of a U-Net. Each device's first one waits until the other is at work too."""
    calls, together, first = [], threading.Barrier(2), set()
    apply = comfy.model_base.BaseModel.apply_model

    def noted(model, x, *args, **kwargs):
        device = model.current_patcher.load_device
        calls.append((device, len(x)))
        if threading.current_thread() is not threading.main_thread() and device not in first:
            first.add(device)
            together.wait(timeout=60)
        return apply(model, x, *args, **kwargs)

    monkeypatch.setattr(comfy.model_base.BaseModel, "apply_model", noted)
    return calls


def rows_of(calls):
    return [sum(rows for device, rows in calls if device == one) for one in DEVICES]


METHODS = {
    "MultiDiffusion": {},
    "moving windows": {"windows": windows(moving=True, batch=2)},
    "projected": {"multiscale": MultiScaleParams(scales=2)},
    "Sync direct": {"sync": SyncParams()},
    "crop fusion": {"crop_fusion": CropFusionParams()},
}


@pytest.mark.parametrize("method", METHODS)
def test_two_devices_paint_the_bits_of_one_and_share_the_work(sd15, on_two, asked, method):
    settings = {"windows": windows(batch=2), **METHODS[method]}
    canvases = 2 if method == "projected" else 1  # one after the other, each of several batches
    latent = torch.zeros(2, 4, 8 * canvases, 28)
    alone = run(with_settings(sd15, **settings), latent)
    assert {device for device, _ in asked} == {DEVICES[0]}
    asked.clear()
    both = run(on_two(with_settings(sd15, **settings)), latent)
    assert torch.equal(both, alone)
    batch = 2 * 2 * len(latent)  # two windows, cond and uncond
    assert abs(rows_of(asked)[0] - rows_of(asked)[1]) <= STEPS * canvases * batch
    assert min(rows_of(asked)) > 0


def test_it_does_not_matter_which_node_comes_first(sd15, on_two):
    settings = {"windows": windows(batch=2)}
    torch.testing.assert_close(
        run(with_settings(on_two(sd15), **settings), LATENT), run(on_two(with_settings(sd15, **settings)), LATENT)
    )


def test_without_a_negative_prompt_both_devices_have_work(sd15, on_two, asked):
    model = with_settings(sd15, windows=windows(batch=1))
    alone = run(model, LATENT, cfg=1.0)
    asked.clear()
    assert torch.equal(run(on_two(model), LATENT, cfg=1.0), alone)
    assert rows_of(asked) == [STEPS * len(LATENT) * WINDOWS_OF_A_STEP // 2] * 2


def test_windows_that_would_fit_into_one_batch_are_shared(sd15, on_two, asked):
    run(on_two(with_settings(sd15, windows=windows())), LATENT, steps=1)
    assert rows_of(asked) == [2 * len(LATENT) * WINDOWS_OF_A_STEP // 2] * 2
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("count", "most", "size"), [(6, 8, 3), (13, 8, 7), (20, 8, 5), (1, 8, 1), (6, 2, 2), (7, 2, 2), (100, 8, 8)]
)
def test_batches_are_such_that_two_devices_have_the_same_to_do(count, most, size):
    assert shared_batch(count, most, 2) == size


def test_workers_have_two_rounds_at_least():
    """One that comes late still gets something to do."""
    assert shared_batch(8, most=8, sharers=2) == 4
    assert shared_batch(8, most=8, sharers=2, rounds=2) == 2
    assert shared_batch(64, most=8, sharers=2, rounds=2) == 8


def test_masked_prompts_and_areas(sd15, on_two, asked):
    mask = torch.zeros(1, 64, 224)
    mask[..., :96] = 1
    area = prompt(4, area=(8, 12, 0, 16), strength=0.7)
    model = with_settings(sd15, windows=windows(batch=1))
    prompts = prompt(1) + prompt(3, mask=mask) + area, prompt(2)
    alone = run(model, LATENT, prompt=prompts)
    asked.clear()
    assert torch.equal(run(on_two(model), LATENT, prompt=prompts), alone)
    assert min(rows_of(asked)) > 0


def test_controlnets_run_on_the_device_of_their_windows(sd15, on_two, monkeypatch):
    nets = []
    forward = comfy.cldm.cldm.ControlNet.forward
    monkeypatch.setattr(
        comfy.cldm.cldm.ControlNet, "forward", lambda net, *a, **k: (nets.append(net), forward(net, *a, **k))[1]
    )
    first, second = tiny_models.control_net(), tiny_models.control_net()
    hint = torch.rand(1, 3, 64, 224, generator=torch.Generator().manual_seed(4))
    second = second.set_cond_hint(hint.flip(-1), 0.7, (0.0, 1.0))
    second.set_previous_controlnet(first.set_cond_hint(hint, 0.9, (0.0, 0.8)))
    options = {"control": second, "control_apply_to_uncond": True}
    prompts = prompt(1, **options), prompt(2, **options)
    model = with_settings(sd15, windows=windows(batch=1))
    alone = run(model, LATENT, prompt=prompts)
    assert len({id(net) for net in nets}) == 2
    nets.clear()
    assert torch.equal(run(on_two(model), LATENT, prompt=prompts), alone)
    calls = [sum(net is one for net in nets) for one in {id(net): net for net in nets}.values()]
    assert len(calls) == 4  # both, on both devices
    assert not torch.equal(run(model, LATENT), alone)


def test_lora_hooks_whose_strength_changes_over_the_steps(sd15, on_two):
    latent = torch.zeros(1, 4, 16, 20)  # both devices have windows of it, and of the coarse canvas

    def hooked():
        hooks = comfy.hooks.create_hook_lora(tiny_models.lora_weights(sd15), strength_model=1.0, strength_clip=0.0)
        group = comfy.hooks.HookKeyframeGroup()
        for start, strength in ((0.0, 0.2), (0.05, 1.5), (0.5, -1.0)):
            group.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
        hooks.set_keyframes_on_hooks(group)
        return prompt(1, hooks=hooks), prompt(2)

    plan = windows(stride=Size(8, 8), batch=1)
    model = with_settings(sd15, windows=plan, multiscale=MultiScaleParams(scales=2))
    alone = run(model, latent, prompt=hooked())
    assert torch.equal(run(on_two(model), latent, prompt=hooked()), alone)
    assert (run(model, latent) - alone).abs().max() > 1e-3


def test_guidance_by_gradients_finds_its_shifts_on_the_main_device(on_two, asked):
    with torch.inference_mode(False):
        sd15 = loaded()
    guidance = SyncParams(guidance="gradient", weight=1.0)
    model = with_settings(sd15, windows=windows(batch=2), sync=guidance)
    alone = run(model, LATENT, steps=2)
    asked.clear()
    assert torch.equal(run(on_two(model), LATENT, steps=2), alone)
    assert rows_of(asked)[0] > rows_of(asked)[1] > 0


def test_patches_that_carry_a_picture_stay_on_the_main_device(sd15, on_two, asked):
    mask = torch.rand(1, 8, 28, generator=torch.Generator().manual_seed(9))

    def attend(q, k, v, extra_options):
        height, width = extra_options["original_shape"][-2:]
        assert mask.shape[-2:] == (height, width)
        return q * mask.mean()

    model = sd15.clone()
    model.set_model_attn2_replace(attend, "middle", 0, 0)
    model = with_settings(model, windows=windows())
    alone = run(model, LATENT[:1], steps=1)
    asked.clear()
    assert torch.equal(run(on_two(model), LATENT[:1], steps=1), alone)
    assert rows_of(asked)[1] == 0


def test_memory_that_runs_out_on_the_second_device_costs_smaller_batches(sd15, on_two, monkeypatch):
    apply, refused = comfy.model_base.BaseModel.apply_model, []

    def short_of_memory(model, x, *args, **kwargs):
        if model.current_patcher.load_device == DEVICES[1] and len(x) > 4:
            refused.append(len(x))
            raise torch.cuda.OutOfMemoryError("no")
        return apply(model, x, *args, **kwargs)

    model = with_settings(sd15, windows=windows(batch=3))
    alone = run(model, LATENT)
    monkeypatch.setattr(comfy.model_base.BaseModel, "apply_model", short_of_memory)
    torch.testing.assert_close(run(on_two(model), LATENT), alone, rtol=1e-4, atol=1e-4)
    assert refused == [12, 12][: len(refused)]  # both of its batches may have begun before it is known


@pytest.mark.parametrize("error", [ValueError("no"), InterruptProcessingException()], ids=["error", "interrupt"])
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_an_error_on_a_device_ends_the_run_and_the_next_one_is_as_ever(sd15, on_two, monkeypatch, error, device):
    apply, calls = comfy.model_base.BaseModel.apply_model, []

    def failing(model, x, *args, **kwargs):
        calls.append(model.current_patcher.load_device)
        if calls.count(device) == 2 and calls[-1] == device:
            raise error
        return apply(model, x, *args, **kwargs)

    model = on_two(with_settings(sd15, windows=windows(stride=Size(8, 2), batch=1)))
    before, threads = run(model, LATENT), threading.active_count()
    with monkeypatch.context() as patched:
        patched.setattr(comfy.model_base.BaseModel, "apply_model", failing)
        with pytest.raises(type(error)):
            run(model, LATENT)
    assert len(calls) <= 6  # of 11 windows: what had begun ends, and nothing else begins
    assert torch.equal(run(model, LATENT), before)
    assert threading.active_count() == threads


def test_after_an_error_no_device_is_at_work_and_no_answer_is_left():
    pool = comfy.multigpu.MultiGPUThreadPool([*DEVICES])
    devices = Devices(
        {"multigpu_thread_pool": pool, "multigpu_clones": {d: SimpleNamespace(load_device=d) for d in DEVICES}}
    )
    done = []

    def slow(number):
        if number == 2:
            raise ValueError("no")
        time.sleep(0.2)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="no"):
        list(devices.each(slow, range(20)))
    at_work = len(done)
    time.sleep(0.5)
    assert len(done) == at_work <= 4
    assert list(devices.each(slow, range(3, 8))) == [3, 4, 5, 6, 7]
    pool.shutdown()

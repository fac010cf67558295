"""Windows by real workers: Ray's processes, each with a ComfyUI that has run the nodes of the model."""

import logging
import os
import pickle
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import comfy.hooks
import comfy.patcher_extension
import pytest
import tiny_models
import torch
from comfy_execution.graph import DynamicPrompt
from host import ROOT
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.workers.by_ray import RayWorker
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.workers.crew import _crews, workers_of
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from joint_diffusion.nodes.ray_workers import RayWorkers
from sampling_run import prompts, run
from tiny_models import prompt

pytestmark = pytest.mark.usefixtures("inference_mode")

LATENT = torch.zeros(2, 4, 8, 60)  # 14 windows
SECONDS = 600  # that a worker may take to start, on a machine that has other things to do


def windows(**options):
    return WindowParams(**{"window": Size(8, 8), "stride": Size(4, 4), "grid": 2, "batch": 1, **options})


@pytest.fixture(scope="module")
def ray():
    """A cluster of this process alone. Its ComfyUIs find the pack where this one has its folders."""
    ray = pytest.importorskip("ray", reason="no workers: ray is not installed (uv pip install ray)")
    packs = Path(sys.argv[sys.argv.index("--base-directory") + 1]) / "custom_nodes"
    packs.mkdir(exist_ok=True)
    for name, path in (("pack", ROOT), ("tiny_loaders.py", ROOT / "tests/support/tiny_loaders.py")):
        (packs / name).symlink_to(path)
    os.environ.setdefault("RAY_worker_niceness", "0")  # else they wait for all that this machine does beside
    for left in (2, 1, 0):  # Ray gives its own processes only some seconds to start
        try:
            ray.init(address="local", num_cpus=4, num_gpus=0, include_dashboard=False, log_to_driver=False)
            break
        except Exception:
            ray.shutdown()
            if not left:
                raise
    yield ray
    _crews.clear()
    ray.shutdown()


def made_by(nodes, count=1):
    """Workers for the model of the last node, and that model here. `nodes` are (id, class, inputs)."""
    nodes = {number: {"class_type": kind, "inputs": inputs} for number, kind, inputs in nodes}
    nodes["w"] = {"class_type": "RayWorkers", "inputs": {"model": [[*nodes][-1], 0], "address": "", "workers": count}}
    return lambda model: workers_of(model, "", count, DynamicPrompt(nodes), "w")


def ready(workers, count=1):
    end = time.monotonic() + SECONDS
    while len(workers.crew.ready(workers.key)) < count:
        assert workers.crew.busy(), "a worker could not be made"
        assert time.monotonic() < end, "a worker does not start"
        time.sleep(0.1)
    return workers


SD15 = made_by([("1", "TinyModel", {"family": "sd15"})])


@pytest.fixture(scope="module")
def sd15(ray):
    return tiny_models.sd15()


@pytest.fixture
def workers(sd15):
    return ready(SD15(sd15))


@pytest.fixture
def asked(monkeypatch):
    """(worker, parcel) of each batch that is sent."""
    calls, ask = [], RayWorker.ask

    def noted(worker, what, *arguments):
        if what == "predict":
            calls.append((worker, arguments[-1]))
        return ask(worker, what, *arguments)

    monkeypatch.setattr(RayWorker, "ask", noted)
    return calls


METHODS = {
    "MultiDiffusion": {},
    "moving windows": {"windows": windows(moving=True)},
    "projected": {"multiscale": MultiScaleParams(scales=2)},
    "Sync direct": {"sync": SyncParams()},
    "Twin": {"crop_fusion": CropFusionParams(), "cross_sampling": CrossSamplingParams()},
}


@pytest.mark.parametrize("method", METHODS)
def test_workers_paint_the_bits_of_one_process(sd15, workers, asked, method):
    settings = {"windows": windows(), **METHODS[method]}
    latent = torch.zeros(2, 4, 16 if method == "projected" else 8, 60)
    alone = run(with_settings(sd15, **settings), latent)
    assert not asked
    assert torch.equal(run(with_settings(sd15, **settings, workers=workers), latent), alone)
    assert asked


def test_the_conditioning_is_sent_once(sd15, workers, asked):
    long = prompt(1, tokens=2000), prompt(2, tokens=2000)
    heavy = long[0][0][0].nbytes
    model = with_settings(sd15, windows=windows())
    alone = run(model, LATENT, prompt=long)
    assert torch.equal(run(with_settings(model, workers=workers), LATENT, prompt=long), alone)
    first, *rest = [len(parcel) for _, parcel in asked]
    assert first > 2 * heavy
    assert rest
    assert max(rest) < heavy / 50


def test_masks_areas_and_inpainting_are_sent(sd15, workers, asked):
    mask = torch.zeros(1, 64, 480)
    mask[..., :200] = 1
    both = prompt(1) + prompt(3, mask=mask) + prompt(4, area=(8, 12, 0, 16), strength=0.7), prompt(2)
    options = {"prompt": both, "noise_mask": torch.rand(1, 1, 8, 60, generator=torch.Generator().manual_seed(2))}
    model = with_settings(sd15, windows=windows())
    alone = run(model, LATENT, **options)
    assert torch.equal(run(with_settings(model, workers=workers), LATENT, **options), alone)
    assert asked


def test_guidance_by_gradients_finds_its_shifts_here(ray, workers, asked):
    with torch.inference_mode(False):
        sd15 = tiny_models.sd15()
    workers = ready(SD15(sd15))
    model = with_settings(sd15, windows=windows(), sync=SyncParams(guidance="gradient", weight=1.0))
    alone = run(model, LATENT, steps=2)
    assert torch.equal(run(with_settings(model, workers=workers), LATENT, steps=2), alone)
    assert asked


def hooked(model):
    hooks = comfy.hooks.create_hook_lora(tiny_models.lora_weights(model), strength_model=1.0, strength_clip=0.0)
    return {"prompt": (prompt(1, hooks=hooks), prompt(2))}


def controlled(_):
    hint = torch.rand(1, 3, 64, 480, generator=torch.Generator().manual_seed(4))
    options = {"control": tiny_models.control_net().set_cond_hint(hint, 0.7, (0.0, 1.0))}
    return {"prompt": (prompt(1, **options), prompt(2, **options))}


def weights_patched(model):
    model.add_patches({"diffusion_model.out.2.weight": ("diff", (torch.ones(4, 32, 3, 3),))}, 0.1)


def function_patched(model):
    model.set_model_attn2_output_patch(lambda attended, _: attended * 1.5)


def mask_patched(model):
    mask = torch.rand(1, 8, 60, generator=torch.Generator().manual_seed(9))
    model.set_model_attn2_replace(lambda q, k, v, _: q * mask.mean(), "middle", 0, 0)


def wrapped(model):
    kind = comfy.patcher_extension.WrappersMP.CALC_COND_BATCH
    model.add_wrapper(kind, lambda executor, *args: [one * 1.5 for one in executor(*args)])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (None, controlled, "a prompt has a ControlNet"),
        (None, hooked, "a prompt has a hook, such as a LoRA of its own"),
        (weights_patched, None, "between Ray Workers and the sampler patch its weights; put Ray Workers behind them"),
        (function_patched, None, "attn2_output_patch/0 is of this process"),
        (mask_patched, None, "carries a picture or a mask"),
        (wrapped, None, "changes how the model is asked"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_sent_is_predicted_here_and_said(sd15, workers, asked, caplog, change, options, said):
    model = with_settings(sd15, windows=windows(), workers=workers)
    without = with_settings(sd15, windows=windows())
    for one in (model, without):
        if change:
            change(one)
    options = options(sd15) if options else {}
    batch_of_one = LATENT[:1]
    alone = run(without, batch_of_one, steps=2, **options)
    with caplog.at_level(logging.WARNING):
        found = run(model, batch_of_one, steps=2, **options)
    torch.testing.assert_close(found, alone, rtol=0, atol=0)
    assert not asked
    assert [record for record in caplog.records if said in record.getMessage()]


def test_patches_of_nodes_before_are_those_of_the_worker(sd15, asked):
    nodes = [("1", "TinyModel", {"family": "sd15"}), ("2", "TinyPatch", {"model": ["1", 0], "by": 1.5})]
    model = tiny_models.louder(sd15, 1.5)
    workers = ready(made_by(nodes)(model))
    alone = run(with_settings(model, windows=windows()), LATENT)
    assert torch.equal(run(with_settings(model, windows=windows(), workers=workers), LATENT), alone)
    assert asked
    assert not torch.equal(alone, run(with_settings(sd15, windows=windows()), LATENT))


def test_a_model_in_half_precision_is_sent_half_and_painted_to_its_rounding(ray, sd15, workers, asked):
    settings = {"windows": windows()}
    run(with_settings(sd15, **settings, workers=workers), LATENT)
    assert views_are(asked) == {"float32"}
    half = tiny_models.sd15(dtype=torch.float16)
    of_half = ready(made_by([("1", "TinyModel", {"family": "sd15_half"})])(half))
    alone = run(with_settings(half, **settings), LATENT)
    asked.clear()
    found = run(with_settings(half, **settings, workers=of_half), LATENT)
    assert views_are(asked) == {"float16"}
    assert (found - alone).abs().max() < 0.005 * alone.abs().max()


def views_are(asked):
    """The precisions in which views were sent."""
    sent = [tensor for _, parcel in asked for tensor in pickle.loads(parcel)[1].values()]
    return {dtype for dtype, shape, _ in sent if shape[1:] == (4, 8, 8)}


@pytest.mark.parametrize("family", ["flux", "wan"])
def test_transformers_and_films(ray, asked, family):
    shape = {"flux": (1, 16, 8, 32), "wan": (1, 16, 3, 8, 32)}[family]
    model, latent = getattr(tiny_models, family)(), torch.zeros(shape)
    workers = ready(made_by([("1", "TinyModel", {"family": family})])(model))
    options = {"cfg": 1.0, "prompt": prompts(family)} if family == "flux" else {}
    alone = run(with_settings(model, windows=windows()), latent, **options)
    assert torch.equal(run(with_settings(model, windows=windows(), workers=workers), latent, **options), alone)
    assert asked


def test_memory_that_runs_out_in_a_worker_costs_smaller_batches(sd15, workers, monkeypatch):
    monkeypatch.setattr(RayWorker, "answer", short_of_memory := ShortOfMemory())
    model = with_settings(sd15, windows=windows(batch=3))
    alone = run(model, LATENT)
    found = run(with_settings(model, workers=workers), LATENT)
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)
    assert short_of_memory.refused == 1


class ShortOfMemory:
    """The first answer is that memory has run out: no test can fill the memory of this machine."""

    def __init__(self):
        self.refused, self._answer = 0, RayWorker.answer

    def __get__(self, worker, _):
        def answer(handle):
            found = self._answer(worker, handle)
            if isinstance(found, bytes) and not self.refused:
                self.refused = 1
                return None
            return found

        return answer


@contextmanager
def at_step(number, do):
    """A callback of the sampler that does something once, after that step."""
    done = []

    def callback(step, *_):
        if step == number:
            done.append(do())

    yield callback
    assert done


def test_a_worker_that_joins_midway_gets_work_and_one_that_dies_midway_loses_nothing(sd15, workers, asked):
    """One after the other, because a worker takes long to start: the second joins, the first dies, a third comes."""
    model = with_settings(sd15, windows=windows())
    alone = run(model, LATENT, steps=6)
    (first,) = workers.crew.workers
    with at_step(1, lambda: ready(made_by([("1", "TinyModel", {"family": "sd15"})], 2)(sd15), 2)) as callback:
        found = run(with_settings(model, workers=workers), LATENT, steps=6, callback=callback)
    assert torch.equal(found, alone)
    (second,) = set(workers.crew.workers) - {first}
    assert {worker for worker, _ in asked} == {first, second}
    assert [worker for worker, _ in asked].index(second) > 0

    process = first.answer(first.ask("process"))
    asked.clear()

    def stop_and_kill():  # so that it dies with a batch that it has begun
        os.kill(process, signal.SIGSTOP)
        Timer(1.0, os.kill, (process, signal.SIGKILL)).start()

    two = made_by([("1", "TinyModel", {"family": "sd15"})], 2)(sd15)
    with at_step(1, stop_and_kill) as callback:
        found = run(with_settings(model, workers=two), LATENT, steps=6, callback=callback)
    assert torch.equal(found, alone)
    assert first not in workers.crew.workers
    assert first in {worker for worker, _ in asked}
    assert len(workers.crew.workers) == 2  # another has been begun in its place


def test_nodes_that_fail_in_a_worker_leave_the_work_here(sd15, workers, caplog):
    nodes = [("1", "TinyModel", {"family": "sd15"}), ("2", "NotInstalledThere", {"model": ["1", 0]})]
    with caplog.at_level(logging.WARNING):
        failing = made_by(nodes, len(workers.crew.workers))(sd15)
        while failing.crew.busy():
            time.sleep(0.1)
    assert not failing.crew.ready(failing.key)
    assert "NotInstalledThere" in caplog.text
    model = with_settings(sd15, windows=windows())
    assert torch.equal(run(with_settings(model, workers=failing), LATENT), run(model, LATENT))


def test_without_ray_the_node_says_how_to_install_it(monkeypatch, sd15):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(RayWorkers, "hidden", HIDDEN, raising=False)
    _crews.pop("nowhere:1", None)
    with pytest.raises(ImportError, match="pip install ray"):
        RayWorkers.execute(sd15, "nowhere:1", 1)
    PanoramaWindows.execute(sd15, 0, 0, 0.5, "overlapping", False, False)  # needs none of it


class HIDDEN:
    unique_id = "w"
    dynprompt = DynamicPrompt(
        {
            "1": {"class_type": "TinyModel", "inputs": {"family": "sd15"}},
            "w": {"class_type": "RayWorkers", "inputs": {"model": ["1", 0]}},
        }
    )

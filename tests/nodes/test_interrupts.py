"""Interrupts at any moment of a guided run: nothing is left behind, and the next picture is that of a fresh process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management
import comfy.ops
import folder_paths
import pytest
import tiny_models
import torch
from comfy.model_management import InterruptProcessingException
from commands import python
from host import ROOT
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.perceptual_weights import FOLDER
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.sync_guidance import SyncGuidance
from safetensors.torch import load_file, save_file
from sampling_run import lively, run
from traces import changed, traces

MOMENTS = 20
WINDOWS = WindowParams(window=Size(4, 4), stride=Size(4, 4), grid=2, batch=2)
FRESH = """
import sys
sys.path[:0] = [{nodes!r}, {support!r}]
import conftest
from host import load_pack
load_pack()
import test_interrupts
test_interrupts.paint_fresh({weights!r}, {picture!r})
"""


class Guided:
    """A run with both guides, lpips through model, ControlNet and VAE, and all whose traces it could leave."""

    def __init__(self):
        self.patcher, self.vae, self.net = lively(tiny_models.sd15()), tiny_models.vae(), tiny_models.control_net()
        hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(4))
        self.control = self.net.set_cond_hint(hint, 0.9, (0.0, 1.0))
        multiscale = MultiScaleParams(scales=2, guidance="gradient", weight=0.02)
        model = with_settings(self.patcher, windows=WINDOWS, multiscale=multiscale)
        self.model = SyncGuidance.execute(model, 20.0, "lpips", self.vae, guidance="gradient").args[0]

    @property
    def roots(self):
        return self.patcher.model.diffusion_model, self.net.control_model, self.vae.first_stage_model

    def paint(self):
        options = {"control": self.control, "control_apply_to_uncond": True}
        prompts = tiny_models.prompt(1, **options), tiny_models.prompt(2, **options)
        one_step = torch.tensor([14.6, 2.0])  # with guidance, which needs that a part of x is kept
        return run(self.model, torch.zeros(1, 4, 8, 8), steps=1, sigmas=one_step, prompt=prompts)

    def traces(self):
        # Two attributes the host itself leaves at an interrupt until the next run, with and without the pack.
        of_the_host = ("timestep_range", "model_sampling_current")
        attributes = {name: id(value) for name, value in vars(self.control).items() if name not in of_the_host}
        return traces(*self.roots) | {"control": attributes}


def use_weights(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([str(folder)], {".safetensors"}))
    patch.delitem(folder_paths.filename_list_cache, FOLDER, raising=False)


def paint_fresh(weights: str, picture: str) -> None:
    """What a process that was never interrupted makes of the same graph."""
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        use_weights(Path(weights), patch)
        save_file({"picture": Guided().paint()}, picture)


@contextmanager
def counted(moment: int = 0) -> Iterator[list[int]]:
    """Counts the layers of all models as they run, forward and backward; at the given one the user clicks on Cancel."""
    count, fetch = [0], comfy.ops.cast_bias_weight

    def tick(*_):
        count[0] += 1
        if count[0] == moment:
            comfy.model_management.interrupt_current_processing()
            comfy.model_management.throw_exception_if_processing_interrupted()

    def fetch_and_tick(*args, **options):  # a backward pass calls no layer, but fetches its weight
        tick()
        return fetch(*args, **options)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(tick)
    try:
        comfy.ops.cast_bias_weight = fetch_and_tick
        yield count
    finally:
        comfy.ops.cast_bias_weight = fetch
        hook.remove()
        comfy.model_management.interrupt_current_processing(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp(FOLDER)
    save_file(tiny_models.perceptual_weights(), folder / "random.safetensors")
    return folder


@pytest.fixture(scope="module")
def fresh(weights, tmp_path_factory):
    """The picture of a process of its own."""
    picture = tmp_path_factory.mktemp("fresh") / "picture.safetensors"
    nodes, support = ROOT / "tests" / "nodes", ROOT / "tests" / "support"
    code = FRESH.format(nodes=str(nodes), support=str(support), weights=str(weights), picture=str(picture))
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    return load_file(picture)["picture"]


def test_at_twenty_moments_nothing_is_left_behind_and_the_next_picture_is_that_of_a_fresh_process(
    weights, fresh, monkeypatch
):
    use_weights(weights, monkeypatch)
    with torch.inference_mode():
        guided = Guided()
        with counted() as layers:
            assert torch.equal(guided.paint(), fresh)
        before = guided.traces()
        lot, apart = random.Random(0), layers[0] // MOMENTS
        moments = [1 + apart * number + lot.randrange(apart) for number in range(MOMENTS)]
        seen = {"forward": 0, "backward": 0}
        for moment in moments:
            with counted(moment), pytest.raises(InterruptProcessingException) as caught:
                guided.paint()
            seen["backward" if any(entry.name == "backward" for entry in caught.traceback) else "forward"] += 1
            assert changed(before, guided.traces()) == [], f"interrupted at layer {moment} of {layers[0]}"
        assert min(seen.values()) > 1, seen
        assert torch.equal(guided.paint(), fresh)

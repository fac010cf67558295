"""The bar of the node while the windows of a step are denoised."""

import comfy.model_management
import comfy.utils
import latent_preview
import pytest
import tiny_models
import torch
from comfy.model_management import InterruptProcessingException
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.nodes.host.windows import run as run_of_windows
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.windows.run import Progress
from joint_diffusion.nodes.host.windows.time_left import in_words
from sampling_run import run

WINDOWS = WindowParams(window=Size(8, 8), stride=Size(8, 8), grid=2, batch=1)
STEPS = 3


@pytest.fixture
def shown(monkeypatch):
    """(value, total) as the front end gets them; not one is left out for coming soon after another."""
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_PERCENT", 0)
    values = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, _preview, node_id=None: values.append((value, total))
    )
    return values


def sample(sampler="euler", **settings):
    model = with_settings(tiny_models.sd15(), windows=WINDOWS, **settings)
    callback = latent_preview.prepare_callback(model, STEPS)
    return run(model, torch.zeros(1, 4, 8, 32), sampler, steps=STEPS, callback=callback)


def test_it_moves_with_every_batch_of_windows(shown):
    sample()
    assert shown == [(step + part / 4, STEPS) for step in range(STEPS) for part in (1, 2, 3, 4)]


def test_coarser_canvases_count(shown):
    """Four windows of the canvas, and of the coarse one two that overlap by half and one that they hide."""
    sample(multiscale=MultiScaleParams(scales=2))
    first = [value for value, _ in shown if value <= 1]
    assert first == pytest.approx([part / len(first) for part in range(1, len(first) + 1)])
    assert len(first) > 4


@pytest.mark.parametrize("sampler", ["heun", "dpm_2_ancestral"])
def test_it_never_goes_back_with_samplers_that_ask_twice(shown, sampler):
    sample(sampler)
    values = [value for value, _ in shown]
    assert values == sorted(values)
    assert values[-1] == STEPS
    last = [value for value in values if STEPS - 1 < value < STEPS]  # by then it knows that a step takes eight views
    assert last == pytest.approx([STEPS - 1 + part / 8 for part in range(1, 8)])


def test_an_interrupt_stops_within_one_batch(shown, monkeypatch):
    """The host's hook raises it, and so does the next batch."""

    def hook(value, *_, **__):
        shown.append(value)
        comfy.model_management.interrupt_current_processing(len(shown) == 2)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    with pytest.raises(InterruptProcessingException):
        sample()
    assert shown == [0.25, 0.5]


def test_a_short_run_says_nothing_and_a_long_one_says_how_long_it_took(monkeypatch):
    said = []
    monkeypatch.setattr(run_of_windows, "show", said.append)
    sample()
    assert said == []
    monkeypatch.setattr(run_of_windows, "BETWEEN_TEXTS", 0)
    sample()
    assert said[-1].startswith("3 steps in ")


def test_a_step_in_which_nothing_was_predicted(monkeypatch):
    """As of a sampler that takes what it has seen before."""
    said = []
    monkeypatch.setattr(run_of_windows, "show", said.append)
    monkeypatch.setattr(run_of_windows, "BETWEEN_TEXTS", 0)
    Progress(3, 4).counting(None)(0)
    assert said == ["step 2 of 3, 0:00 left"]


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (0.25, 4, "step 1 of 20, 5:16 left"),  # 16 s a step
        (1, 4, "step 2 of 20, 1:16 left"),
        (19.5, 19.5, "step 20 of 20, 0:00 left"),
        (0.5, 100, "step 1 of 20, 1:05:00 left"),
        (20, 100, "20 steps in 1:40"),
    ],
)
def test_it_says_how_long_the_rest_takes(done, seconds, words):
    assert in_words(done, 20, seconds) == words

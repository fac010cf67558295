"""What a joint step does beside the model: nothing that waits for a device, and little for each window."""

from collections import Counter
from dataclasses import replace

import comfy.sample
import comfy.samplers
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_torch_compile import TorchCompileModel
from joint_diffusion.core.canvas.windows import Size
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams
from joint_diffusion.nodes.host.demo_model import demo_model
from joint_diffusion.nodes.host.gradients.nested import taken_apart
from joint_diffusion.nodes.host.windows.patch import with_settings
from moves import Moves
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.usefixtures("inference_mode")

WINDOWS = WindowParams(window=Size(16, 16), stride=Size(8, 8), batch=8, grid=4)
WAITS = {f"aten.{name}.default" for name in ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal")}


class Operations(TorchDispatchMode):
    """Counts operations by name, and those that make a tensor of none."""

    def __init__(self):
        super().__init__()
        self.names, self.made = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.names[str(function)] += 1
        given, _ = taken_apart((args, kwargs))
        if isinstance(result, torch.Tensor) and not any(isinstance(x, torch.Tensor) for x in given):
            self.made[str(function)] += 1
        return result


def watched_step(columns, watching, **settings):
    """`watching` the second step of a run on 2 rows of windows, in which the host and the model do nothing."""
    model = with_settings(tiny_models.sd15(), windows=WINDOWS, **settings).clone()
    model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "free", lambda _next, _model, _conds, x, *_: [x, x])
    latent = torch.zeros(1, 4, 32, 16 * columns)

    def after_each(step, *_):
        if step == 0:
            watching.__enter__()
        if step == 1:
            watching.__exit__(None, None, None)

    noise = comfy.sample.prepare_noise(latent, 1)
    prompts = tiny_models.prompt(1), tiny_models.prompt(2)
    comfy.sample.sample(
        model, noise, 3, 4.0, "euler", "normal", *prompts, latent, seed=1, disable_pbar=True, callback=after_each
    )
    return watching


def operations_of_a_step(columns, **settings):
    return watched_step(columns, Operations(), **settings)


def test_a_plain_step_does_not_wait_for_the_device():
    """Neither to read a number there, nor to bring over what was made in main memory."""
    operations = operations_of_a_step(8)
    assert not WAITS & operations.names.keys()
    assert not operations.made


def test_crop_fusion_asks_for_the_noise_level_once():
    operations = operations_of_a_step(8, crop_fusion=CropFusionParams())
    assert sum(operations.names[name] for name in WAITS) == 1
    assert not operations.made


def test_a_window_costs_one_addition_and_a_batch_three_copies():
    def operations(columns):
        names = operations_of_a_step(columns).names
        return names["aten.add_.Tensor"], sum(names[f"aten.{name}"] for name in ("stack.default", "cat.default"))

    assert operations(8)[0] == 45
    assert operations(4)[0] == 21
    assert operations(8)[1] == 6 * 3
    assert operations(4)[1] == 3 * 3


@pytest.mark.parametrize(
    ("settings", "most", "files"),
    [({}, 135, 10), ({"sync": SyncParams()}, 290, 22), ({"multiscale": MultiScaleParams(scales=2)}, 320, 22)],
)
def test_a_reader_follows_a_step_through_few_files(settings, most, files):
    """21 windows in 3 batches. At version 0.1.0 these were 186, 410 and 506 moves through 11, 16 and 16 files."""
    moves = watched_step(4, Moves(), **settings)
    assert moves.count <= most, moves.between.most_common()
    assert len(moves.files) <= files


def test_a_compiled_model_is_compiled_once():
    """Behind ComfyUI's own node, with a backend that counts; the last batch of the windows is a smaller one."""
    model, graphs = demo_model(), []

    def backend(graph, _inputs, **_options):
        graphs.append(graph)
        return graph.forward

    def sample(model, steps):
        latent, context = torch.zeros(1, 8, 16, 56), torch.ones(1, 8, 128)
        noise = comfy.sample.prepare_noise(latent, 1)
        prompts = [[context, {}]], [[-context, {}]]
        return comfy.sample.sample(
            model, noise, steps, 4.0, "euler", "normal", *prompts, latent, seed=1, disable_pbar=True
        )

    torch._dynamo.reset()
    compiled = with_settings(TorchCompileModel.execute(model, backend).args[0], windows=replace(WINDOWS, batch=4))
    sample(compiled, 1)
    count = len(graphs)
    sampled = sample(compiled, 4)
    torch.testing.assert_close(sampled, sample(with_settings(model, windows=WINDOWS), 4), rtol=1e-4, atol=1e-4)
    assert count > 0
    assert len(graphs) == count

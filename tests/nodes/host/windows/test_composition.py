"""Everything with everything: the host's run against `core.joint_step` on one window at a time of the bare host.

What the host alone says of a view, with hint and masks cropped beforehand, is the oracle; around it Euler by hand.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, pairwise

import comfy.sample
import comfy.sd
import comfy.utils
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, crop
from joint_diffusion.core.joint_params import JointParams
from joint_diffusion.core.joint_step import denoise_step
from joint_diffusion.core.methods.multidiffusion import WindowParams
from joint_diffusion.core.methods.multiscale import MultiScaleParams
from joint_diffusion.core.methods.syncdiffusion import SyncParams
from joint_diffusion.core.methods.twindiffusion import CropFusionParams, CrossSamplingParams
from joint_diffusion.core.step import Step
from joint_diffusion.nodes.host.windows.patch import with_settings
from joint_diffusion.nodes.host.windows.spatial import area_mask
from joint_diffusion.nodes.multi_scale import MultiScaleGuidance
from joint_diffusion.nodes.panorama_windows import PanoramaWindows
from joint_diffusion.nodes.sync_guidance import SyncGuidance
from joint_diffusion.nodes.twin_crop_fusion import TwinCropFusion
from sampling_run import POOLED, lively, prompts, run, run_by_hand
from window_run import predict

pytestmark = pytest.mark.usefixtures("inference_mode")

CANVAS, CFG = Size(8, 16), 4.0
WINDOWS = WindowParams(window=Size(8, 8), stride=Size(4, 4), weights="gaussian", grid=2, seed=1)
FLOW = ("flux", "qwen_image")
STEPS = 2  # from pure noise to some that is left, and the second one where Cross Sampling moves windows
SHAPES = {"flux": (1, 16, *CANVAS), "qwen_image": (1, 16, 1, *CANVAS)}
MASK = torch.linspace(-1, 1, 16).clamp(min=0).repeat(1, 8, 1)  # says nothing in the left half, where a window is
AREA = (8, 8, 0, 6)  # height, width, top, left
HINT = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(9))
KEPT = torch.randn(1, 4, *CANVAS, generator=torch.Generator().manual_seed(7))  # under the noise mask
NOISE_MASK = (torch.arange(16) < 10).float().repeat(1, 1, 8, 1)


@dataclass(frozen=True)
class Case:
    """What takes part in a run."""

    family: str = "sd15"
    windows: WindowParams = WINDOWS  # of the run's seed
    settings: dict = field(default_factory=dict)
    lora: bool = False
    control: bool = False
    masked: tuple[str, ...] = ()
    inpaint: bool = False
    sampler: str = "euler"

    @property
    def shape(self):
        return SHAPES.get(self.family, (1, 4, *CANVAS))

    @property
    def params(self):
        return JointParams(windows=self.windows, **self.settings)


PARTS: dict[str, Callable[[Case], Case]] = {
    "multi-scale": lambda case: setting(case, multiscale=MultiScaleParams(scales=2)),
    "sync": lambda case: setting(case, sync=SyncParams(weight=0.2)),
    "crop fusion": lambda case: setting(case, crop_fusion=CropFusionParams(adjacency=0.5)),
    "cross sampling": lambda case: setting(case, cross_sampling=CrossSamplingParams()),
    "moving": lambda case: replace(case, windows=replace(case.windows, moving=True)),
    "controlnet": lambda case: replace(case, control=True),
    "mask": lambda case: replace(case, masked=(*case.masked, "mask")),
    "area": lambda case: replace(case, masked=(*case.masked, "area")),
    "wrap": lambda case: replace(case, windows=replace(case.windows, wrap=Wrap(x=True))),
    "inpaint": lambda case: replace(case, inpaint=True),
    "lora": lambda case: replace(case, lora=True),
    "video latents": lambda case: replace(case, family="qwen_image"),
    "cfg_pp": lambda case: replace(
        case, sampler="euler_ancestral_cfg_pp" if case.sampler != "euler" else "euler_cfg_pp"
    ),
    "stochastic": lambda case: replace(
        case, sampler="euler_ancestral_cfg_pp" if case.sampler != "euler" else "euler_ancestral"
    ),
}
METHODS = [*PARTS][:5]
APART = {
    ("cross sampling", "moving"),  # do the same
    ("controlnet", "video latents"),  # the net is one for SD 1.5
}
PAIRS = [pair for pair in combinations(PARTS, 2) if pair not in APART and pair[0] in METHODS]


def setting(case, **settings):
    return replace(case, settings={**case.settings, **settings})


def case_of(*parts):
    case = Case()
    for part in parts:
        case = PARTS[part](case)
    return case


@cache
def model_of(family, lora):
    model = lively(getattr(tiny_models, family)())
    for name, value in model.model.diffusion_model.named_parameters():
        if name.endswith("attn.to_out.0.weight"):
            value.mul_(30)  # of Qwen-Image, which else hardly listens to its prompt
    return comfy.sd.load_lora_for_models(model, None, tiny_models.lora_weights(model), 1.0, 0.0)[0] if lora else model


def sigmas_of(model):
    most = float(model.get_model_object("model_sampling").sigma_max)
    return torch.tensor([most, 0.65, 0.3] if most == 1 else [most, 2.0, 0.5])


@cache
def net():
    return tiny_models.control_net()


def conditioning(case, window=None, canvas=CANVAS):
    """Positive and negative prompt of the canvas, or as they are within a window of it, of any scale."""

    def on_canvas(mask):
        return mask if canvas == CANVAS else downsample(mask, CANVAS.width // canvas.width)

    options = {}
    if case.control:
        hint = HINT
        if window is not None:
            hint = comfy.utils.common_upscale(hint, 8 * canvas.width, 8 * canvas.height, "nearest-exact", "center")
            hint = crop(hint, Window(*(8 * cells for cells in window)))
        options = {"control": net().copy().set_cond_hint(hint, 0.9, (0.0, 1.0)), "control_apply_to_uncond": True}
    if case.family in POOLED:
        options["pooled_output"] = torch.linspace(-1, 1, POOLED[case.family])[None]
    positive, negative = tiny_models.prompt(1, **options), tiny_models.prompt(2, **options)
    for seed, kind in enumerate(case.masked, start=3):
        if window is None:
            place = {"mask": MASK} if kind == "mask" else {"area": AREA}
        else:
            mask = MASK if kind == "mask" else area_mask(AREA, None, CANVAS, torch.device("cpu"))
            place = {"mask": crop(on_canvas(mask), window)}
        positive = positive + tiny_models.prompt(seed, **place, **options)
    return positive, negative


def in_the_host(case, model=None):
    """With the pack."""
    if model is None:
        model = with_settings(model_of(case.family, case.lora), windows=case.windows, **case.settings)
    options = {"noise_mask": NOISE_MASK} if case.inpaint else {}
    options |= {"prompt": conditioning(case), "sigmas": sigmas_of(model)}
    return run(model, latent_of(case), case.sampler, STEPS, CFG, **options)


def latent_of(case):
    return KEPT.reshape(1, 4, *case.shape[2:-2], *CANVAS).repeat(
        1, case.shape[1] // 4, *[1] * (len(case.shape) - 2)
    ) * (case.inpaint)


def by_hand(case):
    """Euler around `core.joint_step`, asking the host without the pack for one view after the other."""
    model = model_of(case.family, case.lora)

    def denoise(views, sigma, windows, canvas):
        denoised = []
        for view, window in zip(views.split(1), windows, strict=True):
            positive, negative = conditioning(case, window, canvas)
            cond, uncond = predict(model, positive, negative, view.contiguous(), sigma)
            denoised.append(uncond + CFG * (cond - uncond))
        return torch.cat(denoised)

    sampling = model.get_model_object("model_sampling")
    sigmas = sigmas_of(model).tolist()
    latent, noise = latent_of(case), comfy.sample.prepare_noise(latent_of(case), 1)
    kept = model.model.process_latent_in(latent) if case.inpaint else latent
    mask = NOISE_MASK if case.inpaint else torch.ones(())
    x = sampling.noise_scaling(torch.tensor(sigmas[0]), noise, kept, max_denoise=True)
    for index, (sigma, after) in enumerate(pairwise(sigmas)):
        step = Step(sigma=sigma, kept=after / sigma, index=index, count=STEPS, flow=case.family in FLOW)
        noisy = sampling.noise_scaling(torch.tensor(sigma), noise, kept, False)
        denoised = denoise_step(x * mask + noisy * (1 - mask), step, denoise, case.params)
        denoised = denoised * mask + kept * (1 - mask)
        x = step.kept * x + (1 - step.kept) * denoised
    return model.model.process_latent_out(sampling.inverse_noise_scaling(torch.tensor(sigmas[-1]), x))


@cache
def alone(*parts):
    return in_the_host(case_of(*parts))


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_every_pair(pair):
    case = case_of(*pair)
    found = in_the_host(case)
    expected = (
        by_hand(case) if case.sampler == "euler" else in_the_host(replace(case, windows=replace(case.windows, batch=1)))
    )
    size = expected.abs().max()
    error = (found - expected).abs().max()
    assert error < 1e-4 * size
    for part in pair:
        without = alone(*(other for other in pair if other != part))
        if found.shape == without.shape:
            assert (found - without).abs().max() > max(5e-5 * size, 10 * error), f"{part} does nothing"


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "qwen_image"])
@pytest.mark.parametrize("windows", ["cross sampling", "moving"])
def test_the_full_stack_and_no_part_of_it_is_lost(family, windows):
    """Of families, and of windows that go elsewhere: look once, correct in turn, and all the host knows of prompts."""
    without = {"cfg_pp", "stochastic", "video latents"} | ({"moving", "cross sampling"} - {windows})
    if family != "sd15":
        without |= {"controlnet", "lora"}  # are made for SD 1.5
    parts = [part for part in PARTS if part not in without]
    case = replace(case_of(*parts), family=family)
    found, expected = in_the_host(case), by_hand(case)
    error, size = (found - expected).abs().max(), expected.abs().max()
    assert error < 1e-4 * size
    for part in parts if (family, windows) == ("sd15", "cross sampling") else ["multi-scale", "sync"]:
        case = replace(case_of(*(other for other in parts if other != part)), family=family)
        assert (found - in_the_host(case)).abs().max() > max(2e-5 * size, 5 * error), f"{part} does nothing"


def blurred(args):
    """What another pack might do after CFG."""
    return 0.9 * args["denoised"] + 0.1 * args["denoised"].tanh()


def hooked(model):
    model = model.clone()
    model.set_model_sampler_post_cfg_function(blurred)
    return model


NODES = {
    "windows": lambda model: PanoramaWindows.execute(model, 64, 64, 0.5, "overlapping", True, False).args[0],
    "multi-scale": lambda model: MultiScaleGuidance.execute(model, scales=2, strength=1.0).args[0],
    "sync": lambda model: SyncGuidance.execute(model, 0.2, "latent").args[0],
    "twin": lambda model: TwinCropFusion.execute(model, 0.5, 1.0, True).args[0],
    "lora": lambda model: comfy.sd.load_lora_for_models(model, None, tiny_models.lora_weights(model), 1.0, 0.0)[0],
    "hook": hooked,
}
ORDERS = [*NODES], [*reversed(NODES)], random.Random(0).sample([*NODES], len(NODES))  # each two in both orders


@pytest.mark.parametrize("sampler", ["dpmpp_2m_cfg_pp", "dpmpp_sde"])
def test_the_order_of_the_nodes_does_not_matter(sampler):
    case = replace(case_of("controlnet", "mask", "area", "inpaint"), sampler=sampler)
    pictures = []
    for order in ORDERS:
        model = model_of("sd15", False)
        for node in order:
            model = NODES[node](model)
        pictures.append(in_the_host(case, model))
    assert all(torch.equal(picture, pictures[0]) for picture in pictures[1:])
    assert pictures[0].isfinite().all()
    without = model_of("sd15", False)
    for node in NODES:
        without = without if node == "hook" else NODES[node](without)
    assert not torch.equal(in_the_host(case, without), pictures[0])


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_all_methods_with_gradients(family):
    """Both guides at once through the model, against autograd as it is."""
    settings = {
        "multiscale": MultiScaleParams(scales=2, guidance="gradient", weight=0.05),
        "sync": SyncParams(weight=0.05, guidance="gradient"),
        "crop_fusion": CropFusionParams(),
        "cross_sampling": CrossSamplingParams(),
    }
    shape = (1, 4 if family == "sd15" else 16, *CANVAS)

    def step_by_hand(x, sigma, after, denoise, index):
        def one_by_one(views, sigma, windows, canvas):
            return torch.stack([denoise(view, sigma) for view in views])

        step = Step(sigma=sigma, kept=after / sigma, index=index, count=STEPS, flow=family == "flux")
        denoised = denoise_step(x[None], step, one_by_one, JointParams(windows=WINDOWS, **settings))
        return (step.kept * x + (1 - step.kept) * denoised)[0]

    with torch.inference_mode(False):
        ordinary = lively(getattr(tiny_models, family)())
    options = {"prompt": prompts(family), "sigmas": sigmas_of(ordinary)}
    expected = run_by_hand(ordinary, shape, step_by_hand, STEPS, CFG, **options)

    def sampled(**settings):
        model = with_settings(lively(getattr(tiny_models, family)()), windows=WINDOWS, **settings)
        return run(model, torch.zeros(shape), "euler", STEPS, CFG, **options)

    error = (sampled(**settings) - expected).abs().max()
    assert error < 1e-4 * expected.abs().max()
    for name in settings:
        without = sampled(**{other: value for other, value in settings.items() if other != name})
        assert (without - expected).abs().max() > 10 * error, f"{name} does nothing"

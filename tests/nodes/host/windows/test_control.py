"""ControlNet hints cut to windows against the host itself on hints that were cropped beforehand."""

import comfy.controlnet
import comfy.latent_formats
import comfy.utils
import pytest
import tiny_models
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, crop
from joint_diffusion.nodes.host.windows import control
from joint_diffusion.nodes.host.windows.control import Hints, WindowControl
from joint_diffusion.nodes.host.windows.spatial import Views
from sampling_run import POOLED
from tiny_control_nets import KINDS, TinyVAE, VideoVAE, control_net, flux_control, t2i_adapter
from tiny_models import CPU, flux, prompt, qwen_image, sd15
from window_run import predict, predict_views

CANVAS = Size(16, 48)
WINDOW = Window(0, 4, 16, 16)
WINDOWS = tuple(Window(0, left, 16, 16) for left in (0, 8, 16, 24, 32, 40))  # the last one wraps
FEW = WINDOWS[0], WINDOWS[2], WINDOWS[5]


def rand(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def noise(*shape, seed=9, scale=3.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6 * expected.abs().max().item())


def pixels(window, factor=8):
    return Window(*(factor * cells for cells in window))


def chain(*nets):
    """Nets as the Apply nodes chain them: every one has the one before it as its previous net."""
    for net, previous in zip(nets[1:], nets, strict=False):
        net.set_previous_controlnet(previous)
    return nets[-1]


def controlled(net, both=True, **options):
    return prompt(1, control=net, control_apply_to_uncond=both, **options), prompt(2, **options)


def check(patcher, make, x, sigma=3.0, **options):
    """One window is what the host makes of the cropped hint; many at once, twice, are what they are one by one.

    `make(cut)` gives the control, with `cut` applied to its hints.
    """
    whole = make(lambda image: image)
    one = predict_views(patcher, *controlled(whole, **options), x, sigma, [WINDOW])
    view = crop(x, WINDOW).contiguous()
    native = predict(patcher, *controlled(make(lambda image: crop(image, pixels(WINDOW))), **options), view, sigma)
    assert_same(one, native)
    without = predict(patcher, prompt(1, **options), prompt(2, **options), view, sigma)
    assert (native - without).abs().max() > 1e-4 * native.abs().max()

    rows = torch.cat([x, x.flip(-1)])
    together = predict_views(patcher, *controlled(whole, **options), rows, sigma, FEW)
    alone = [
        predict_views(patcher, *controlled(whole, **options), rows[b : b + 1], sigma, FEW, together=False)
        for b in (0, 1)
    ]
    assert_same(together, torch.stack(alone, 2).flatten(1, 2))


HINT = rand(1, 3, 128, 384)


def test_chained_nets_have_their_own_hints():
    def make(cut):
        first = control_net().set_cond_hint(cut(HINT), 0.9, (0.0, 1.0))
        return chain(first, control_net().set_cond_hint(cut(1 - HINT), 0.4, (0.0, 1.0)))

    check(sd15(), make, noise(1, 4, *CANVAS))


def test_hint_of_another_size_is_fitted_to_the_canvas_first():
    small, x = rand(1, 3, 96, 200), noise(1, 4, *CANVAS)
    fitted = comfy.utils.common_upscale(small, 384, 128, "nearest-exact", "center")
    views = [
        predict_views(sd15(), *controlled(control_net().set_cond_hint(image, 0.9, (0.0, 1.0))), x, 3.0, WINDOWS)
        for image in (small, fitted)
    ]
    assert torch.equal(*views)


def test_every_window_has_its_own_part():
    """On equal views only the hint tells windows apart; a net left alone would show them all the same centre."""
    x = noise(1, 4, 16, 16).repeat(1, 1, 1, 3)
    net = control_net().set_cond_hint(HINT, 0.9, (0.0, 1.0))
    windows = [Window(0, left, 16, 16) for left in (0, 16, 32)]
    first, second, third = predict_views(sd15(), *controlled(net), x, 3.0, windows)[0]
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)


def test_a_hint_for_each_image():
    hints, x = rand(2, 3, 128, 384), noise(2, 4, *CANVAS)
    net = control_net().set_cond_hint(hints, 0.9, (0.0, 1.0))
    both = predict_views(sd15(), *controlled(net), x, 3.0, WINDOWS)
    for row in (0, 1):
        net = control_net().set_cond_hint(hints[row : row + 1], 0.9, (0.0, 1.0))
        assert_same(both[:, row::2], predict_views(sd15(), *controlled(net), x[row : row + 1], 3.0, WINDOWS))


def test_positive_and_negative_still_share_a_batch():
    rows = []

    def count(apply_model, call):
        rows.append(len(call["input"]))
        return apply_model(call["input"], call["timestep"], **call["c"])

    patcher = sd15()
    patcher.set_model_unet_function_wrapper(count)
    net = control_net().set_cond_hint(HINT, 0.9, (0.0, 1.0))
    predict_views(patcher, *controlled(net), noise(1, 4, *CANVAS), 3.0, WINDOWS)
    assert rows == [12]


@pytest.mark.parametrize("span", [(0.0, 0.1), (0.9, 1.0)])
def test_a_net_out_of_its_steps_stays_out(span):
    x, sigma = noise(1, 4, *CANVAS), 1.5  # about half way
    out = control_net().set_cond_hint(HINT, 0.9, span)
    without = predict_views(sd15(), prompt(1), prompt(2), x, sigma, WINDOWS)
    assert torch.equal(predict_views(sd15(), *controlled(out), x, sigma, WINDOWS), without)

    other = control_net().set_cond_hint(HINT, 0.4, (0.0, 1.0))
    both = predict_views(sd15(), *controlled(chain(other.copy(), out.copy())), x, sigma, WINDOWS)
    assert torch.equal(both, predict_views(sd15(), *controlled(other), x, sigma, WINDOWS))


@pytest.mark.parametrize("span", [(0.0, 0.5), (0.5, 1.0)])
def test_a_net_runs_at_both_ends_of_its_steps_as_in_the_host(span):
    sigma = sd15().get_model_object("model_sampling").percent_to_sigma(0.5)
    check(sd15(), lambda cut: control_net().set_cond_hint(cut(HINT), 0.9, span), noise(1, 4, *CANVAS), sigma)


def test_a_hint_that_was_rounded_up_covers_the_canvas():
    """Of 48 rows for 40: all of them are seen, not those in the middle."""
    hint = torch.linspace(0, 1, 48).view(1, 1, 48, 1).repeat(1, 3, 1, 48)
    found = control._fitted(hint, t2i_adapter(), Size(5, 6))
    assert found.shape[-2:] == (40, 48)
    assert torch.equal(found[..., [0, -1], :], hint[..., [0, -1], :])


@pytest.mark.parametrize("factor", [2, 4])
def test_coarser_canvas_sees_the_hint_at_its_size(factor):
    x, hint, window = noise(1, 4, 32, 88), rand(1, 3, 256, 704), Window(0, 6, 8, 16)
    net = control_net().set_cond_hint(hint, 0.9, (0.0, 1.0))
    views = predict_views(sd15(), *controlled(net), x, 3.0, [window], factor=factor)
    small = comfy.utils.common_upscale(hint, 704 // factor, 256 // factor, "nearest-exact", "center")
    net = control_net().set_cond_hint(crop(small, pixels(window)), 0.9, (0.0, 1.0))
    assert_same(views, predict(sd15(), *controlled(net), crop(downsample(x, factor), window).contiguous(), 3.0))


def test_coarser_canvas_of_odd_size():
    x, windows = noise(1, 4, 18, 50), [Window(0, 0, 8, 16), Window(0, 20, 8, 16)]
    net = control_net().set_cond_hint(rand(1, 3, 144, 400), 0.9, (0.0, 1.0))
    assert predict_views(sd15(), *controlled(net), x, 3.0, windows, factor=2).shape == (2, 2, 4, 8, 16)


def test_t2i_adapter_forgets_what_it_saw_on_a_canvas():
    x = noise(1, 4, *CANVAS)
    net = t2i_adapter().set_cond_hint(HINT, 0.9, (0.0, 1.0))
    fresh = predict_views(sd15(), *controlled(net.copy()), x, 3.0, [WINDOW])
    predict(sd15(), *controlled(net), crop(x, WINDOW).contiguous(), 3.0)  # the adapter keeps its features
    assert torch.equal(predict_views(sd15(), *controlled(net), x, 3.0, [WINDOW]), fresh)


def test_t2i_adapter_refuses_windows_that_it_cannot_unshuffle():
    net = t2i_adapter(xl=True).set_cond_hint(HINT, 0.9, (0.0, 1.0))
    with pytest.raises(ValueError, match=r"multiples of 16 pixels, got 120 x 128. Choose another window size"):
        predict_views(sd15(), *controlled(net), noise(1, 4, *CANVAS), 3.0, [Window(0, 0, 16, 15)])


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_net(name):
    kind = KINDS[name]
    mask = (rand(1, 1, 128, 384) > 0.5).float()

    def make(cut):
        options = {"vae": kind.vae()} if kind.vae else {}
        extra = [cut(mask)] if kind.masked else []
        return kind.build().set_cond_hint(cut(HINT), 0.9, (0.0, 1.0), extra_concat=extra, **options)

    is_unet = kind.family in ("sd15", "sdxl")
    channels = (4,) if is_unet else {"qwen_image": (16, 1)}.get(kind.family, (16,))
    options = {"pooled_output": rand(1, POOLED[kind.family])} if kind.family in POOLED else {}
    x = noise(1, *channels, *CANVAS, scale=3.0 if is_unet else 1.0)
    check(getattr(tiny_models, kind.family)(), make, x, 3.0 if is_unet else 0.7, **options)


def test_the_hint_is_encoded_once_for_a_canvas():
    vae, x = TinyVAE(), noise(1, 16, *CANVAS, scale=1.0)
    net = flux_control().set_cond_hint(HINT, 0.9, (0.0, 1.0), vae=vae)
    predict_views(flux(), *controlled(net, pooled_output=rand(1, 32)), x, 0.7, WINDOWS, together=False)
    assert vae.encoded == 1


def test_a_hint_built_while_gradients_flow_carries_none():
    """VAEs have parameters that require gradients; a hint is kept for the run and must not keep their graph."""

    class TrainableVAE(TinyVAE):
        weight = torch.nn.Parameter(torch.ones(()))

        def encode(self, images):
            return super().encode(images) * self.weight

    net = Spy(compression_ratio=1, latent_format=comfy.latent_formats.Flux())
    net.set_cond_hint(HINT, 0.9, (0.0, 1.0), vae=TrainableVAE())
    control = WindowControl(net, Views(WINDOWS, CANVAS, 1), Hints())
    model = flux().model
    control.pre_run(model, model.model_sampling.percent_to_sigma)
    with torch.enable_grad():
        control.get_control(noise(6, 16, 16, 16), torch.full((6,), 0.7), {"c_crossattn": prompt(1, 6)[0][0]}, 1, {})
    (hint,) = net.hints
    assert not hint.requires_grad


class Spy(comfy.controlnet.ControlNet):
    """A ControlNet whose network only notes its hint."""

    def __init__(self, **options):
        super().__init__(torch.nn.Identity(), load_device=CPU, **options)
        self.control_model = self
        self.dtype, self.hints = torch.float32, []

    def __call__(self, *, hint, **_):
        self.hints.append(hint)
        return {}


def test_hint_of_five_dimensions():
    latent_format, vae = comfy.latent_formats.Wan21(), VideoVAE()
    net = Spy(compression_ratio=1, latent_format=latent_format).set_cond_hint(HINT, 0.9, (0.0, 1.0), vae=vae)
    predict_views(qwen_image(), *controlled(net), noise(1, 16, 1, *CANVAS), 0.7, [WINDOW])
    whole = latent_format.process_in(vae.encode(HINT.movedim(1, -1)))
    (hint,) = net.hints
    assert torch.equal(hint, crop(whole, WINDOW))


def test_a_net_for_another_kind_of_latent_is_refused():
    net = Spy().set_cond_hint(HINT, 0.9, (0.0, 1.0))
    with pytest.raises(ValueError, match=r"Spy takes no hint of shape \(1, 3, 128, 128\).*does not fit the model"):
        predict_views(qwen_image(), *controlled(net), noise(1, 16, 1, *CANVAS), 0.7, [WINDOW])


def test_a_net_with_a_way_of_its_own_is_refused():
    class Foreign(comfy.controlnet.ControlNet):
        def get_control(self, *args):
            raise AssertionError("must not run")

    with pytest.raises(ValueError, match=r"Panorama Windows cannot cut the hint of Foreign .*Load ControlNet Model"):
        WindowControl(chain(Foreign(), control_net()), Views((WINDOW,), CANVAS, 1), Hints())


class Stopped(Exception):
    pass


def test_nets_are_left_as_they_were_even_when_sampling_is_interrupted():
    first = control_net().set_cond_hint(HINT, 0.9, (0.0, 1.0))
    last = chain(first, control_net().set_cond_hint(HINT, 0.4, (0.0, 1.0)))
    adapter = chain(last, t2i_adapter().set_cond_hint(HINT, 0.9, (0.0, 1.0)))
    nets = first, last, adapter

    def stop(*args, **kwargs):
        assert all(net.cond_hint is not None for net in nets)
        raise Stopped

    last.control_model.forward = stop
    before = [vars(net).copy() for net in nets]
    control = WindowControl(adapter, Views(WINDOWS, CANVAS, 1), Hints())
    model = sd15().model
    control.pre_run(model, model.model_sampling.percent_to_sigma)
    with torch.inference_mode(), pytest.raises(Stopped):
        control.get_control(noise(6, 4, 16, 16), torch.full((6,), 3.0), {"c_crossattn": prompt(1, 6)[0][0]}, 1, {})
    for net, attributes in zip(nets, before, strict=True):
        changed = {name for name, value in vars(net).items() if value is not attributes.get(name)}
        assert changed == {"timestep_range"} | ({"model_sampling_current"} if net is not adapter else set())


def test_the_wrapper_passes_on_what_the_host_asks_of_a_chain():
    first, second = control_net(), control_net()
    second.extra_hooks = object()
    control = WindowControl(chain(first, second), Views((WINDOW,), CANVAS, 1), Hints())
    assert control.get_models() == [first.control_model_wrapped, second.control_model_wrapped]
    assert control.get_extra_hooks() == [second.extra_hooks]
    assert control.inference_memory_requirements(torch.float32) == 0
    assert control.get_instance_for_device(CPU) is control
    device = torch.device("meta")
    second.multigpu_clones[device] = clone = control_net()
    assert control.get_instance_for_device(device).previous_controlnet is clone

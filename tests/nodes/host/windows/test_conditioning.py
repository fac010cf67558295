"""Conditioning cut to windows against the host itself on inputs that were cropped beforehand."""

import comfy.conds
import comfy.utils
import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, crop, crop_batch
from joint_diffusion.nodes.host.windows.conditioning import WindowConditioning, scheduled
from joint_diffusion.nodes.host.windows.spatial import Views, attention_mask_of
from tiny_models import flux, prompt, qwen_image, sd15, sdxl
from window_run import predict, predict_views

WINDOW = Window(0, 4, 16, 16)
WINDOWS = tuple(Window(0, left, 16, 16) for left in (0, 8, 16, 24, 32, 40))  # the last one wraps
FEW = WINDOWS[0], WINDOWS[2], WINDOWS[5]
CANVAS = Size(16, 48)


def rand(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def noise(*shape, seed=9, scale=3.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def assert_same(actual, expected, rtol=1e-6):
    """Equal to `rtol` of the largest value: the same sums in another order."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * expected.abs().max().item())


def on_canvas(mask):
    """A mask in pixels as the host brings it to the latent canvas."""
    return comfy.utils.common_upscale(mask.unsqueeze(1), *reversed(CANVAS), "bilinear", "none").squeeze(1)


def check(patcher, make, x, sigma=3.0, batch=2):
    """One window is what the host makes of the cropped inputs; many at once are what they are one by one.

    `make(cut)` gives positive and negative, with `cut` applied to whatever lies on the canvas.
    """
    whole = make(lambda tensor: tensor)
    one = predict_views(patcher, *whole, x, sigma, [WINDOW])
    native = predict(patcher, *make(lambda tensor: crop(tensor, WINDOW)), crop(x, WINDOW).contiguous(), sigma)
    assert_same(one, native)

    rows = torch.cat([x, x.flip(-1)])[:batch]
    together = predict_views(patcher, *whole, rows, sigma, FEW)
    alone = [predict_views(patcher, *whole, rows[b : b + 1], sigma, FEW, together=False) for b in range(batch)]
    assert_same(together, torch.stack(alone, 2).flatten(1, 2))
    return one


def test_text_alone_needs_nothing():
    check(sd15(), lambda cut: (prompt(1), prompt(2)), noise(1, 4, *CANVAS))


def test_mask_is_cropped():
    mask = rand(1, 128, 384)

    def make(cut):
        small = cut(on_canvas(mask))
        return prompt(1) + prompt(4, mask=small, mask_strength=0.7, strength=0.5), prompt(2)

    check(sd15(), make, noise(1, 4, *CANVAS))


def test_mask_with_a_row_per_image_stays_with_its_image():
    masks, x = rand(2, *CANVAS), noise(2, 4, *CANVAS)
    both = predict_views(sd15(), prompt(1) + prompt(4, mask=masks), prompt(2), x, 3.0, WINDOWS)
    for row in (0, 1):
        alone = prompt(1) + prompt(4, mask=masks[row : row + 1])
        views = predict_views(sd15(), alone, prompt(2), x[row : row + 1], 3.0, WINDOWS)
        assert_same(both[:, row::2], views)


def pointwise(patcher):
    """A model that sees no surroundings: x times a number from the prompt. An area then equals its mask."""
    patcher.set_model_unet_function_wrapper(
        lambda _, call: call["input"] * call["c"]["c_crossattn"].mean((1, 2)).view(-1, *[1] * (call["input"].ndim - 1))
    )
    return patcher


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "region",
    [
        {"area": (6, 20, 0, 10)},
        {"area": (16, 12, 0, 36), "strength": 0.3},
        {"area": ("percentage", 0.5, 0.5, 0.25, 0.5), "strength": 0.3},
        {"area": (10, 20, 3, 10), "mask": rand(1, *CANVAS), "mask_strength": 0.4},
        {"mask": (rand(1, *CANVAS) > 0.9).float(), "set_area_to_bounds": True},
        {"mask": (rand(2, *CANVAS) > 0.9).float(), "set_area_to_bounds": True},
    ],
    ids=["area", "at the edge", "percentage", "area and mask", "bounds", "bounds per image"],
)
def test_area_weighs_as_in_the_host(region, batch):
    """Soft edges, strengths and the twins that the host makes for the other list included."""
    x = noise(batch, 4, *CANVAS)
    if region.get("mask") is not None:
        region = {**region, "mask": region["mask"][:batch]}
    positive, negative = prompt(1) + prompt(4, **region), prompt(2)
    native = predict(pointwise(sd15()), positive, negative, x, 3.0)
    views = predict_views(pointwise(sd15()), positive, negative, x, 3.0, WINDOWS)
    assert_same(views, torch.stack([crop_batch(output, WINDOWS) for output in native]))


def test_each_area_weighs_as_in_the_host():
    x = noise(1, 4, *CANVAS)
    positive = prompt(1, area=(16, 20, 0, 0)) + prompt(4, area=(16, 20, 0, 14)) + prompt(5, area=(10, 20, 6, 28))
    native = predict(pointwise(sd15()), positive, prompt(2), x, 3.0)
    views = predict_views(pointwise(sd15()), positive, prompt(2), x, 3.0, WINDOWS)
    assert_same(views, torch.stack([crop_batch(output, WINDOWS) for output in native]))


def test_area_on_a_latent_of_five_dimensions_weighs_as_in_the_host():
    x = noise(1, 16, 1, *CANVAS)
    positive, negative = prompt(1) + prompt(4, area=(10, 20, 3, 10)), prompt(2)
    native = predict(pointwise(qwen_image()), positive, negative, x, 0.7)
    views = predict_views(pointwise(qwen_image()), positive, negative, x, 0.7, WINDOWS)
    assert_same(views, torch.stack([crop_batch(output, WINDOWS) for output in native]))


def test_default_conditioning_fills_what_others_leave():
    x, mask = noise(1, 4, *CANVAS), (rand(1, *CANVAS) > 0.5).float()
    nowhere = torch.zeros(1, *CANVAS)  # the host does not ask the default conditioning for a mask
    positive, negative = prompt(4, mask=mask) + prompt(1, default=True, mask=nowhere), prompt(2)
    native = predict(pointwise(sd15()), positive, negative, x, 3.0)
    views = predict_views(pointwise(sd15()), positive, negative, x, 3.0, WINDOWS)
    assert_same(views, torch.stack([crop_batch(output, WINDOWS) for output in native]))


def test_an_entry_is_not_run_where_its_mask_is_empty():
    rows = []

    def count(apply_model, call):
        rows.append(len(call["input"]))
        return apply_model(call["input"], call["timestep"], **call["c"])

    patcher = sd15()
    patcher.set_model_unet_function_wrapper(count)
    left = torch.zeros(1, *CANVAS)
    left[..., :16] = 1
    positive = prompt(1, mask=left) + prompt(4, mask=1 - left)
    windows = [Window(0, start, 16, 16) for start in (0, 16, 8, 40)]  # left, right, both, both around the edge
    predict_views(patcher, positive, prompt(2), noise(1, 4, *CANVAS), 3.0, windows)
    assert rows == [2, 2, 6]


def test_windows_that_have_moved_are_asked_anew():
    """As many as before, in other places."""
    left = torch.zeros(1, *CANVAS)
    left[..., :16] = 1
    conditioning = conditioning_of(sd15(), noise(1, 4, *CANVAS))
    for start, active in ((0, ((0,),)), (16, ((),))):
        window = Window(0, start, 16, 16)
        assert conditioning.groups([[entry(mask=left)]], [window], CANVAS) == {active: [window]}


def test_a_prompt_for_each_image():
    x = noise(2, 4, *CANVAS)
    texts = [[torch.cat([prompt(1)[0][0], prompt(5)[0][0]]), {}]]
    both = predict_views(sd15(), texts, prompt(2), x, 3.0, WINDOWS)
    for row, seed in enumerate((1, 5)):
        assert_same(both[:, row::2], predict_views(sd15(), prompt(seed), prompt(2), x[row : row + 1], 3.0, WINDOWS))


@pytest.mark.parametrize(("images", "texts"), [(2, 3), (3, 2)])
def test_another_number_of_prompts_than_of_images_is_cut_as_on_the_canvas(images, texts):
    x, positive = noise(images, 4, *CANVAS), prompt(1, batch=texts)
    native = predict(sd15(), positive, prompt(2), crop(x, WINDOW).contiguous(), 3.0)
    assert_same(predict_views(sd15(), positive, prompt(2), x, 3.0, [WINDOW, WINDOW])[:, images:], native)


def test_inpainting_model():
    image, mask = rand(1, 4, *CANVAS), (rand(1, 1, *CANVAS) > 0.5).float()

    def make(cut):
        options = {"concat_latent_image": cut(image), "concat_mask": cut(mask)}
        return prompt(1, **options), prompt(2, **options)

    check(sd15(inpaint=True), make, noise(1, 4, *CANVAS))


def test_inpainting_model_masked_by_the_sampler_alone():
    """Its mask is the noise mask; nothing of it is in the conditioning that is encoded for the window."""
    x, mask = noise(1, 4, *CANVAS), (rand(1, 1, *CANVAS) > 0.5).float()
    views = predict_views(sd15(inpaint=True), prompt(1), prompt(2), x, 3.0, [WINDOW], denoise_mask=mask)
    cropped = crop(x, WINDOW).contiguous(), 3.0
    native = predict(sd15(inpaint=True), prompt(1), prompt(2), *cropped, denoise_mask=crop(mask, WINDOW))
    torch.testing.assert_close(views, native)
    assert not torch.allclose(views, predict(sd15(inpaint=True), prompt(1), prompt(2), *cropped))


def pooled(seed, width=1280):
    return noise(1, width, seed=seed, scale=1.0)


def test_sdxl_is_told_the_size_of_the_window():
    patcher = sdxl()
    options = {"pooled_output": pooled(1)}, {"pooled_output": pooled(2)}
    views = check(patcher, lambda cut: (prompt(1, **options[0]), prompt(2, **options[1])), noise(1, 4, *CANVAS))
    sized = {"width": 384, "height": 128}
    whole = [prompt(seed, **own, **sized) for seed, own in enumerate(options, 1)]
    as_canvas = predict(patcher, *whole, crop(noise(1, 4, *CANVAS), WINDOW).contiguous(), 3.0)
    assert (views - as_canvas).abs().max() > 1e-4 * views.abs().max()


def test_sdxl_sizes_of_the_user_are_kept():
    options = {"pooled_output": pooled(1), "width": 512, "height": 256, "crop_w": 8}
    check(sdxl(), lambda cut: (prompt(1, **options), prompt(2, **options)), noise(1, 4, *CANVAS))


def test_twin_of_an_area_keeps_the_pooled_text_of_its_own_list():
    """The host's twin of a positive area in the negative list has the keys of the positive prompt."""
    x = noise(1, 4, *CANVAS)
    positive = prompt(1, pooled_output=pooled(1)) + prompt(4, pooled_output=pooled(4), area=(16, 20, 0, 10))
    negative = prompt(2, pooled_output=pooled(2))
    views = predict_views(sdxl(), positive, negative, x, 3.0, WINDOWS)
    alone = predict_views(sdxl(), prompt(1, pooled_output=pooled(1)), negative, x, 3.0, WINDOWS)
    assert_same(views[1], alone[1])


def test_what_is_encoded_for_a_window_knows_of_no_area():
    """The area is that of the canvas: HiDream-O1 cuts its noise to it."""
    patcher, asked = sdxl(), []
    encode = patcher.model.extra_conds

    def extra_conds(**options):
        if options["noise"].shape[-2:] == WINDOW.size:
            asked.append((options.get("area"), len(options["noise"])))
        return encode(**options)

    patcher.model.extra_conds = extra_conds
    positive = prompt(1, pooled_output=pooled(1), area=(16, 20, 0, 10))
    predict_views(patcher, positive, prompt(2, pooled_output=pooled(2)), noise(2, 4, *CANVAS), 3.0, WINDOWS)
    assert asked
    assert set(asked) == {(None, 2)}


@pytest.mark.parametrize(("sigma", "on"), [(1.1, 0), (1.0, 1), (0.7, 1), (0.4, 1), (0.3, 0)])
def test_a_prompt_is_on_at_both_ends_of_its_schedule_as_in_the_host(sigma, on):
    """A flow model begins at 1, where a schedule from the beginning also begins."""
    always = {"model_conds": {}}
    entries = [{**always, "timestep_start": 1.0, "timestep_end": 0.4}, always]
    assert scheduled(entries, sigma) == [always] * (1 + on)


def test_a_value_that_another_node_has_replaced_is_kept():
    x, patcher = noise(1, 4, *CANVAS), sdxl()
    encoded = {"y": comfy.conds.CONDRegular(pooled(3, 2816)), "c_crossattn": comfy.conds.CONDCrossAttn(pooled(4, 64))}
    conditioning = conditioning_of(patcher, x, conds={"positive": [entry(model_conds=encoded)]})
    replaced = entry(model_conds={"y": comfy.conds.CONDRegular(pooled(5, 2816))})
    (cut,) = conditioning.cut([[replaced]], [(0,)], [WINDOW], CANVAS, 1)[0]
    assert cut["model_conds"]["y"] is replaced["model_conds"]["y"]


def test_flux_keeps_guidance_and_references():
    references = [rand(1, 16, 16, 16)]

    def make(cut):
        positive = prompt(1, pooled_output=pooled(1, 32), guidance=2.5, reference_latents=references)
        return positive, prompt(2, pooled_output=pooled(2, 32))

    check(flux(), make, noise(1, 16, *CANVAS, scale=1.0), 0.7)


def test_flux_attention_mask_has_the_tokens_of_the_window():
    """A mask that says the same of all places, as ComfyUI's nodes make it."""
    mask = rand(1, 8 + 1, 8 + 1)
    options = {"pooled_output": pooled(1, 32), "attention_mask": mask, "attention_mask_img_shape": (1, 1)}
    check(flux(), lambda cut: (prompt(1, **options), prompt(2, **options)), noise(1, 16, *CANVAS, scale=1.0), 0.7)


@pytest.mark.parametrize("factor", [1, 2], ids=["canvas", "coarse canvas"])
def test_flux_attention_mask_of_places_is_cut(factor):
    """Of the tokens, 8 x 24 on the canvas, only those in the window remain: their rows and their columns."""
    tokens, x = (8 // factor, 24 // factor), noise(2, 16, *CANVAS, scale=1.0)
    mask = rand(1, 8 + 8 * 24, 8 + 8 * 24)
    common = {"pooled_output": pooled(1, 32)}
    whole = {"attention_mask": mask, "attention_mask_img_shape": (8, 24)}
    windows = WINDOWS if factor == 1 else (Window(0, 0, 8, 8), Window(0, 20, 8, 8))
    views = predict_views(flux(), prompt(1, **common, **whole), prompt(2, **common), x, 0.7, windows, factor=factor)
    fitted = comfy.utils.upscale_dit_mask(mask, (8, 24), tokens)
    places = 8 + torch.arange(tokens[0] * tokens[1]).view(tokens)
    for number, window in enumerate(windows):
        inside = crop(places, Window(*(cells // 2 for cells in window)))
        seen = torch.cat([torch.arange(8), inside.flatten()])
        part = {"attention_mask": fitted[:, seen][:, :, seen], "attention_mask_img_shape": tuple(inside.shape)}
        view = crop(x if factor == 1 else downsample(x, 2), window).contiguous()
        native = predict(flux(), prompt(1, **common, **part), prompt(2, **common), view, 0.7)
        assert_same(views[:, 2 * number : 2 * number + 2], native, 2e-6)


def test_attention_mask_of_a_canvas_of_odd_height_has_a_row_of_half_tokens():
    """5 x 8 cells are 3 x 4 tokens, after 2 of text; the window is the right half."""
    mask = torch.arange(14.0 * 14).view(1, 14, 14)
    found = attention_mask_of(Views((Window(0, 4, 5, 4),), Size(5, 8), 1), mask)
    tokens = [0, 1, 4, 5, 8, 9, 12, 13]
    assert torch.equal(found, mask[:, tokens][:, :, tokens])


def test_qwen_image_with_mask_and_references():
    mask, references = rand(1, *CANVAS), [rand(1, 16, 1, 16, 16)]

    def make(cut):
        return prompt(1, reference_latents=references) + prompt(4, mask=cut(mask)), prompt(2)

    check(qwen_image(), make, noise(1, 16, 1, *CANVAS, scale=1.0), 0.7)


def conditioning_of(patcher, x, conds=None):
    """The conditioning of windows on x, outside of a sampling run."""
    patcher.pre_run()
    patcher.model.latent_shapes = [x.shape]
    return WindowConditioning(patcher.model, Size(*x.shape[-2:]), conds or {})


def entry(**options):
    return {"model_conds": {}, "uuid": None, **options}


def cut_one(patcher, x, name, value, windows=(WINDOW,), canvas=CANVAS):
    conds = [[entry(model_conds={name: value})]]
    cut = conditioning_of(patcher, x).cut(conds, [(0,)], windows, canvas, len(x))
    return cut[0][0]["model_conds"][name].cond


def test_spatial_tensors_of_five_dimensions_are_cropped():
    tensor = rand(1, 4, 1, *CANVAS)
    for kind in (comfy.conds.CONDNoiseShape, comfy.conds.CONDRegular):
        cut = cut_one(qwen_image(), noise(2, 16, 1, *CANVAS), "c_concat", kind(tensor), WINDOWS)
        assert torch.equal(cut, crop_batch(tensor.repeat(2, 1, 1, 1, 1), WINDOWS))


@pytest.mark.parametrize("name", ["lq_latent", "pose_latents", "camera_conditions"])
def test_tensors_at_another_scale_are_cropped_on_their_own_cells(name):
    tensor, x = rand(1, 4, 4, 12), noise(1, 4, *CANVAS)
    cut = cut_one(sd15(), x, name, comfy.conds.CONDRegular(tensor))
    assert torch.equal(cut, tensor[..., 1:5])
    with pytest.raises(ValueError, match=rf"'{name}'.*12 x 4 cells.*48 x 16.*Choose a window size and stride"):
        cut_one(sd15(), x, name, comfy.conds.CONDRegular(tensor), [Window(0, 2, 16, 16)])


def test_cascade_prior_is_stretched_over_the_canvas_as_the_model_does():
    prior = rand(1, 16, 3, 9)
    whole = torch.nn.functional.interpolate(prior, CANVAS, mode="bilinear", align_corners=True)
    cut = cut_one(sd15(), noise(1, 4, *CANVAS), "effnet", comfy.conds.CONDRegular(prior))
    assert torch.equal(cut, crop(whole, WINDOW))


def test_gligen_is_refused():
    conditioning = conditioning_of(sd15(), noise(1, 4, *CANVAS))
    with pytest.raises(ValueError, match=r"Panorama Windows cannot be combined with GLIGEN.*Set Area"):
        conditioning.groups([[entry(gligen=("position", None, []))], None], [WINDOW], CANVAS)


def test_none_stays_none():
    conditioning = conditioning_of(sd15(), noise(1, 4, *CANVAS))
    assert conditioning.groups([[entry()], None], [WINDOW], CANVAS) == {((0,), ()): [WINDOW]}
    assert conditioning.cut([[entry()], None], [(0,), ()], [WINDOW], CANVAS, 1)[1] is None


def test_coarser_canvas_sees_averages():
    tensor, mask, coarse = rand(1, 5, *CANVAS), rand(1, *CANVAS), Size(8, 24)
    window = Window(0, 20, 8, 8)  # wraps
    conds = [[entry(mask=mask, model_conds={"c_concat": comfy.conds.CONDNoiseShape(tensor)})]]
    (cut,) = conditioning_of(sd15(), noise(1, 4, *CANVAS)).cut(conds, [(0,)], [window], coarse, 1)[0]
    assert torch.equal(cut["mask"], crop(downsample(mask, 2), window))
    assert torch.equal(cut["model_conds"]["c_concat"].cond, crop(downsample(tensor, 2), window))


@pytest.mark.parametrize("factor", [2, 4])
def test_coarser_canvas_equals_the_host_on_averaged_inputs(factor):
    patcher, x, window = sd15(inpaint=True), noise(1, 4, 32, 88), Window(0, 6, 8, 16)
    # The host rounds the mask of an inpainting model: in blocks of 4 its averages are 0 and 1 too.
    image, region = rand(1, 4, 32, 88), rand(1, 32, 88)
    mask = (rand(1, 1, 8, 22) > 0.5).float().repeat_interleave(4, -1).repeat_interleave(4, -2)

    def make(cut):
        options = {"concat_latent_image": cut(image), "concat_mask": cut(mask)}
        return prompt(1, **options) + prompt(4, mask=cut(region), **options), prompt(2, **options)

    views = predict_views(patcher, *make(lambda tensor: tensor), x, 3.0, [window], factor=factor)
    small = make(lambda tensor: crop(downsample(tensor, factor), window))
    assert_same(views, predict(patcher, *small, crop(downsample(x, factor), window).contiguous(), 3.0))


def test_no_copy_of_what_does_not_change():
    """Cond and uncond share a batch only while their values stay alike, and memory is the user's."""
    conds = [[entry(model_conds={"c_crossattn": comfy.conds.CONDCrossAttn(prompt(1)[0][0])})]]
    conditioning = conditioning_of(sd15(), noise(1, 4, *CANVAS))
    (cut,) = conditioning.cut(conds, [(0,)], WINDOWS, CANVAS, 1)[0]
    assert cut["model_conds"]["c_crossattn"] is conds[0][0]["model_conds"]["c_crossattn"]

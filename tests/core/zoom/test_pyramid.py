import pytest
import torch
from joint_diffusion.core.canvas.resample import downsample
from joint_diffusion.core.canvas.windows import Size, Window, crop
from joint_diffusion.core.zoom.geometry import footprints
from joint_diffusion.core.zoom.pyramid import enlarge, join, split
from joint_diffusion.demo.world import Scene, render
from kornia.geometry.transform import build_laplacian_pyramid, pyrup
from oracles import enlarge as enlarge_by_hand
from torch.testing import assert_close

SIZES = [Size(16, 16), Size(17, 23), Size(12, 31), Size(5, 7)]


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def analyse(image, zoom_factor, blocks):
    bands = []
    for block in blocks:
        band, image = split(image, zoom_factor, block)
        bands.append(band)
    return [*bands, image]


def collapse(bands, zoom_factor, blocks):
    *bands, image = bands
    for band, block in zip(reversed(bands), reversed(blocks), strict=True):
        image = join(band, image, zoom_factor, block)
    return image


@pytest.mark.parametrize(
    ("size", "zoom_factor", "leading"),
    [(size, factor, (2,)) for size, factor in zip(SIZES, (2, 3, 4, 5), strict=True)]
    + [(Size(17, 23), 2, (2, 3, 1)), (Size(16, 16), 3, (2,))],
)
def test_collapse_inverts_the_pyramid(size, zoom_factor, leading):
    image, blocks = randn(*leading, *size), [step.inner for step in footprints(size, zoom_factor)]
    bands = analyse(image, zoom_factor, blocks)
    assert [band.shape[-2:] for band in bands[1:]] == [step.outer[2:] for step in footprints(size, zoom_factor)]
    assert_close(collapse(bands, zoom_factor, blocks), image, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("size", "zoom_factor"), [*zip(SIZES, (2, 3, 3, 5), strict=True)])
def test_enlarging_equals_the_mean_of_parabolas_cell_by_cell(size, zoom_factor):
    block = footprints(size, zoom_factor)[0].inner
    coarse = randn(2, block.height // zoom_factor, block.width // zoom_factor)
    by_hand = enlarge_by_hand(coarse, zoom_factor, block.top, block.left, *size)
    assert_close(enlarge(coarse, zoom_factor, block, size), by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("zoom_factor", [2, 3, 4, 7])
def test_shrinking_undoes_enlarging_exactly(zoom_factor):
    coarse, block = randn(3, 6, 5), Window(1, 2, 6 * zoom_factor, 5 * zoom_factor)
    fine = enlarge(coarse, zoom_factor, block, Size(6 * zoom_factor + 2, 5 * zoom_factor + 3))
    assert_close(downsample(crop(fine, block), zoom_factor), coarse, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("zoom_factor", "times"), [(2, 2), (3, 1)])
def test_an_enlarged_image_has_nothing_in_the_bands_that_enlarging_added(zoom_factor, times):
    size = Size(4 * zoom_factor**2, 6 * zoom_factor**2)
    blocks = [Window(0, 0, size.height // zoom_factor**k, size.width // zoom_factor**k) for k in range(2)]
    image = randn(1, size.height // zoom_factor**times, size.width // zoom_factor**times)
    for block in reversed(blocks[:times]):
        image = enlarge(image, zoom_factor, block, Size(block.height, block.width))
    bands = analyse(image, zoom_factor, blocks)
    assert max(band.abs().max() for band in bands[:times]) < 1e-13
    assert all(band.abs().max() > 0.1 for band in bands[times:])


def landscape():
    """(1, 3, 128, 128)"""
    drawn = render(Scene(seed=21, season="summer", hour="day"), 128, 128, centre=(5.0, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1)[None].double()


def noise():
    return torch.randn(1, 3, 128, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("picture", "leaks"), [(landscape, 0.0024), (noise, 0.28)])
def test_the_pyramid_of_kornia_leaks_and_this_one_does_not(picture, leaks):
    """The figures of the module's first lines: what a picture enlarged by a pyramid has in the finest band of it."""

    def energy(band, image):
        return (band.square().sum() / (image - image.mean(dim=(-2, -1), keepdim=True)).square().sum()).item()

    coarse, whole = picture(), Window(0, 0, 256, 256)
    ours, theirs = enlarge(coarse, 2, whole, Size(256, 256)), pyrup(coarse)
    assert energy(split(ours, 2, whole).band, ours) < 1e-25
    band, rest = build_laplacian_pyramid(theirs, 2)
    assert energy(band, theirs) == pytest.approx(leaks, rel=0.03)
    assert_close(band + pyrup(rest), theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("zoom_factor", [2, 4])
def test_a_ramp_stays_a_ramp_away_from_the_edges(zoom_factor):
    """A smooth sky gets no ring. Repeated cells fail this; bilinear interpolation passes, but fails the test above."""
    coarse = torch.arange(9, dtype=torch.float64).expand(1, 9, 9)
    fine = enlarge(
        coarse, zoom_factor, Window(0, 0, 9 * zoom_factor, 9 * zoom_factor), Size(9 * zoom_factor, 9 * zoom_factor)
    )
    expected = (torch.arange(9 * zoom_factor, dtype=torch.float64) + 0.5) / zoom_factor - 0.5
    inside = slice(3 * zoom_factor, 6 * zoom_factor)
    assert_close(fine[0, 0, inside], expected[inside], rtol=0, atol=1e-12)


@pytest.mark.parametrize("zoom_factor", [2, 3, 8, 32])
def test_next_to_an_edge_the_result_overshoots_by_less_than_a_fifth(zoom_factor):
    coarse = torch.tensor([0.0] * 6 + [1.0] * 6, dtype=torch.float64).expand(1, 12, 12)
    fine = enlarge(
        coarse, zoom_factor, Window(0, 0, 12 * zoom_factor, 12 * zoom_factor), Size(12 * zoom_factor, 12 * zoom_factor)
    )
    assert -0.2 < fine.min() < -0.1
    assert 1.1 < fine.max() < 1.2
    assert fine[..., : 4 * zoom_factor].abs().max() < 1e-12  # and further away not at all


def test_the_rest_that_no_coarse_cell_covers_goes_on_as_the_edge():
    coarse = randn(1, 4, 4)
    fine = enlarge(coarse, 2, Window(3, 0, 8, 8), Size(15, 8))
    means = downsample(fine[:, 1:], 2)
    assert_close(means[:, [0, 1, 5, 6]], coarse[:, [0, 0, 3, 3]], rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype):
    image = torch.randn(1, 8, 8).to(dtype)
    assert {part.dtype for part in split(image, 2, Window(0, 0, 8, 8))} == {dtype}


def test_autograd_can_use_what_inference_mode_has_made_before():
    block, size = Window(1, 0, 6, 8), Size(7, 8)
    with torch.inference_mode():
        enlarged = enlarge(randn(3, 4), 2, block, size)
    coarse = randn(3, 4).requires_grad_()
    enlarge(coarse, 2, block, size).sum().backward()
    assert enlarged.shape == size
    assert coarse.grad.sum().item() == pytest.approx(size.height * size.width)

"""An image on a larger canvas, and the mask around it."""

import pytest
import torch
from joint_diffusion.core.canvas.outpainting import fit_inside, mask_outside, place
from joint_diffusion.core.canvas.windows import Size, Window


@pytest.mark.parametrize(
    ("image", "image_scale"),
    [
        ((512, 512), 0.3),
        ((100, 900), 0.01),
        ((100, 900), 1.0),
        ((900, 100), 0.01),
        ((900, 100), 1.0),
        ((64, 256), 1.0),
        ((3, 5), 0.3),
    ],
)
def test_an_image_always_fits_and_keeps_its_proportions(image, image_scale):
    canvas = Size(64, 256)
    height, width = fit_inside(canvas, Size(*image), image_scale)
    assert 1 <= height <= 64
    assert 1 <= width <= 256
    exact = min(64 / image[0], 256 / image[1]) * image_scale
    assert abs(height - image[0] * exact) <= 1
    assert abs(width - image[1] * exact) <= 1
    for image_x in (0, 0.5, 1):
        window = place(canvas, Size(height, width), image_x, 1)
        assert window.top + height == 64
        assert 0 <= window.left <= 256 - width


@pytest.mark.parametrize("feather", [0, 1, 3])
def test_the_mask_falls_linearly_inside_the_image_only(feather):
    mask = mask_outside(Size(10, 12), Window(0, 2, 10, 8), feather)
    fade = [1 - (cell + 1) / (feather + 1) for cell in range(feather)]
    row = [1, 1, *fade, *[0] * (8 - 2 * feather), *reversed(fade), 1, 1]
    torch.testing.assert_close(mask, torch.tensor([row] * 10, dtype=torch.float32))


def test_a_mask_is_zero_where_the_image_is_the_canvas():
    assert mask_outside(Size(4, 6), Window(0, 0, 4, 6), feather=3).count_nonzero() == 0


def test_an_image_lies_where_it_is_asked_to():
    assert place(Size(10, 12), Size(4, 4), 0, 1) == Window(6, 0, 4, 4)
    assert place(Size(10, 12), Size(4, 4), 1, 0) == Window(0, 8, 4, 4)


def test_rows_are_feathered_as_columns_are():
    upright = mask_outside(Size(12, 10), Window(2, 0, 8, 10), 3)
    assert torch.equal(upright, mask_outside(Size(10, 12), Window(0, 2, 10, 8), 3).T)

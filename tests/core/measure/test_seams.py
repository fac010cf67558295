"""Seam energy and wrap error against their definition as loops, and on pictures whose answer is known."""

import pytest
import torch
from joint_diffusion.core.canvas.windows import Size, Window, Wrap, plan_windows
from joint_diffusion.core.measure.seams import (
    Borders,
    seam_energies,
    seam_energy,
    window_borders,
    worst_place,
    wrap_error,
)
from oracles import relative_step

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def noise(batch=2, height=24, width=40, dtype=torch.float64):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def ramp(width=64, height=32, step=0.01):
    """The same step everywhere, from left to right."""
    return (step * torch.arange(width, dtype=torch.float64)).expand(1, 3, height, width).clone()


def test_energies_are_those_of_the_loops():
    images, borders = noise(), Borders(rows=(1, 12, 23), columns=(4, 8, 32, 39))
    found = seam_energies(images, borders, pixels_per_cell=4)
    for image, energies in zip(images, found, strict=True):
        expected = [relative_step(image, 1, row, 4) for row in borders.rows]
        expected += [relative_step(image, 2, column, 4) for column in borders.columns]
        torch.testing.assert_close(energies, torch.stack(expected), rtol=1e-4, atol=0)


@pytest.mark.parametrize("axis", ["y", "x"])
def test_wrap_errors_are_those_of_the_loops(axis):
    images = noise()
    expected = torch.stack([relative_step(image, 1 + "yx".index(axis), 0, 4, loop=True) for image in images])
    torch.testing.assert_close(wrap_error(images, axis, pixels_per_cell=4), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("height", [1.0, 2.0, 7.5])
def test_a_step_of_known_height(height):
    image = ramp()
    image[..., 32:] += 0.01 * (height - 1)
    energies = seam_energies(image, Borders(columns=(16, 32, 48)))
    # The seam is one of the three places inside the picture that these are compared with.
    beside = 3 / (2 + height)
    torch.testing.assert_close(
        energies[0], torch.tensor([beside, height, beside], dtype=torch.float64), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(
        seam_energies(image, Borders(columns=(9, 55))), torch.ones(1, 2).double(), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(seam_energies(image.mT, Borders(rows=(32,)))[0, 0].item(), height, rtol=1e-3, atol=0)


def test_a_picture_without_an_end_has_wrap_error_1():
    up_and_down = 0.01 * (torch.arange(64, dtype=torch.float64) - 32).abs()
    loop = up_and_down.expand(1, 3, 32, 64)
    torch.testing.assert_close(wrap_error(loop, "x").item(), 1.0)
    torch.testing.assert_close(wrap_error(loop.mT, "y").item(), 1.0)
    torch.testing.assert_close(wrap_error(ramp(), "x").item(), 63.0, rtol=1e-3, atol=0)  # from the last to the first


def test_a_flat_picture_has_no_seams():
    flat = torch.full((1, 3, 32, 32), 0.5)
    assert seam_energy(flat, Borders((16,), (8,))).tolist() == [1.0]
    assert wrap_error(flat, "x").tolist() == [1.0]


def test_a_picture_of_one_window_has_no_seams():
    assert seam_energy(noise(), Borders()).tolist() == [1.0, 1.0]
    assert seam_energies(noise(), Borders()).shape == (2, 0)


def test_the_energy_of_a_picture_is_the_mean_of_its_borders():
    borders = Borders((8,), (8, 16))
    torch.testing.assert_close(seam_energy(noise(), borders), seam_energies(noise(), borders).mean(1))


def test_mirrored_pictures_have_mirrored_seams():
    """The step before column c is the step before column W - c of the mirrored picture."""
    images = noise()
    mirrored = seam_energies(images.flip(-1), Borders(columns=(40 - 8, 40 - 20)))
    torch.testing.assert_close(mirrored, seam_energies(images, Borders(columns=(8, 20))))
    turned = seam_energies(images.mT, Borders(columns=(16,)))
    torch.testing.assert_close(turned, seam_energies(images, Borders(rows=(16,))))
    for axis, dim in (("y", -2), ("x", -1)):
        torch.testing.assert_close(wrap_error(images.flip(dim), axis), wrap_error(images, axis))


def test_brightness_and_contrast_do_not_matter_and_neither_do_the_others_of_the_batch():
    images, borders = noise(3), Borders((8,), (16,))
    expected = seam_energy(images, borders)
    torch.testing.assert_close(seam_energy(0.5 * images + 0.2, borders), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(seam_energy(images[[2, 0, 1]], borders), expected[[2, 0, 1]])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_precision(dtype):
    images, borders = noise(), Borders((8,), (16,))
    for measure in (lambda x: seam_energy(x, borders), lambda x: wrap_error(x, "x")):
        torch.testing.assert_close(measure(images.to(dtype)).double(), measure(images), rtol=TOLERANCE[dtype], atol=0)


def test_borders_of_windows():
    canvas = Size(32, 64)
    windows = plan_windows(canvas, Size(16, 16), Size(16, 12))
    assert window_borders(windows, canvas) == Borders([16], [12, 16, 24, 28, 36, 40, 48, 52])
    assert window_borders([Window(0, 0, 32, 64)], canvas) == Borders([], [])


def test_borders_of_windows_that_run_over_the_edge():
    windows = plan_windows(Size(16, 64), Size(16, 16), Size(16, 10), Wrap(x=True))
    columns = window_borders(windows, Size(16, 64)).columns
    assert {w.left for w in windows} - {0} <= set(columns)
    assert {(w.left + 16) % 64 for w in windows} <= set(columns)
    assert 0 not in columns
    assert max(columns) < 64


@pytest.mark.parametrize("border", [0, 40, -3])
def test_a_border_outside(border):
    with pytest.raises(ValueError, match=rf"columns: a border must lie inside the image, 1\.\.39, got {border}"):
        seam_energies(noise(), Borders(columns=(border,)))


def test_a_picture_of_a_single_cell():
    with pytest.raises(ValueError, match=r"image: must be larger than one latent cell .* got a side of 8 pixels"):
        wrap_error(noise(width=8), "x")


@pytest.mark.parametrize("axis", ["y", "x"])
def test_the_worst_place_is_where_the_step_stands_out(axis):
    image = noise(1, 48, 64)[0] * 0.1
    border = image[:, 24:, 20:36] if axis == "y" else image[:, 18:34, 32:]
    border += 1.0
    place = worst_place(image, axis, 24 if axis == "y" else 32, 16)
    assert place == (20 if axis == "y" else 18)


def test_the_worst_place_may_cross_an_edge_that_meets():
    image = torch.zeros(3, 32, 64)
    image[:, 28:, 16:] = image[:, :4, 16:] = 1.0
    assert worst_place(image, "x", 16, 8, wraps=True) == 28
    assert worst_place(image, "x", 16, 8) in (0, 24)


def test_a_soft_seam_stands_out_as_much_as_a_hard_one():
    """At the top a hard step of 0.8; at the bottom one of 1 that spreads over the columns beside it."""
    image = torch.zeros(3, 32, 64)
    image[:, :16, 32:] = 0.8
    for column, step in ((31, 0.5), (32, 1.0), (33, 0.5)):
        image[:, 16:, column:] += step
    assert worst_place(image, "x", 32, 16) == 16

"""All numbers at once are those of the single functions, and means are means over panoramas."""

import torch
from joint_diffusion.core.canvas.windows import Size, Wrap, plan_windows
from joint_diffusion.core.measure.coherence import pairs_apart, palette_distance, style_distance
from joint_diffusion.core.measure.panorama import Metrics, panorama_metrics
from joint_diffusion.core.measure.seams import seam_energy, window_borders, wrap_error

CANVAS, WRAP = Size(48, 128), Wrap(x=True)
WINDOWS = plan_windows(CANVAS, Size(32, 32), Size(16, 16), WRAP)


def noise(batch=2):
    image = torch.rand(batch, 3, *CANVAS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return image * torch.linspace(0.1, 1, 128)


def test_each_number_is_that_of_its_function():
    image = noise()
    found = panorama_metrics(image, WINDOWS, WRAP, pixels_per_cell=4)
    pairs = pairs_apart(WINDOWS, CANVAS, WRAP)
    torch.testing.assert_close(
        found.seam_energy, seam_energy(image, window_borders(WINDOWS, CANVAS), pixels_per_cell=4)
    )
    torch.testing.assert_close(found.wrap_error_x, wrap_error(image, "x", pixels_per_cell=4))
    torch.testing.assert_close(found.wrap_error_y, wrap_error(image, "y", pixels_per_cell=4))
    torch.testing.assert_close(found.palette_distance, palette_distance(image, pairs))
    torch.testing.assert_close(found.style_distance, style_distance(image, pairs))


def test_means_are_over_panoramas_and_not_over_batches():
    three = noise(3)
    each = [panorama_metrics(part, WINDOWS, WRAP) for part in (three[:1], three[1:])]
    together = panorama_metrics(three, WINDOWS, WRAP)
    mean = Metrics.mean(each)
    assert mean.seams.shape == (1, together.seams.shape[1])
    for found, expected in zip(mean, together, strict=True):
        torch.testing.assert_close(found, expected.mean(0, keepdim=True))
    torch.testing.assert_close(mean.seam_energy, together.seam_energy.mean()[None])

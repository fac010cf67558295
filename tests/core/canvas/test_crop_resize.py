import pytest
import torch
from joint_diffusion.core.canvas.crop_resize import BLOCK, Sampling, crop_resize
from torch.testing import assert_close


def picture(height, width, dtype=torch.float64):
    return torch.rand(3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))


def resized(image, y, x):
    return crop_resize(image.movedim(0, 1).contiguous(), y, x).movedim(1, 0)


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((9, 70), (9, 70)),
        ((9, 70), (5, 31)),
        ((40, 33), (77, 100)),
        ((40, 33), (1, 2)),
        ((100, 1), (9, 70)),
        ((1, 1), (5, 31)),
    ],
)
def test_of_a_whole_picture_it_is_what_torch_does(size, target):
    image = picture(*size)
    expected = torch.nn.functional.interpolate(image[None], target, mode="bicubic", antialias=True)[0]
    y, x = (Sampling(0.0, length / count, count) for length, count in zip(size, target, strict=True))
    assert_close(resized(image, y, x), expected, rtol=0, atol=1e-12)


def test_step_1_returns_the_picture():
    image = picture(50, 2 * BLOCK + 3, torch.float32)
    assert torch.equal(resized(image, Sampling(0.0, 1.0, 50), Sampling(0.0, 1.0, 2 * BLOCK + 3)), image)


@pytest.mark.parametrize(
    ("start", "step", "outputs"), [(3.3, 0.37, 90), (0.2, 1.7, 22), (17.01, 1.0, 3), (20.0, 0.02, 7)]
)
def test_a_crop_between_cells_weighs_its_neighbours(start, step, outputs):
    """Each output by itself: the kernel of Keys 1981, Eq. 4, at the distance of every input."""

    def kernel(t):
        t = abs(t)
        return 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    image = picture(4, 41)
    columns = []
    for output in range(outputs):
        centre = start + (output + 0.5) * step
        weights = [kernel((column + 0.5 - centre) / max(step, 1)) for column in range(41)]
        columns.append(sum(w * image[:, :, column] for column, w in enumerate(weights)) / sum(weights))
    result = resized(image, Sampling(0.0, 1.0, 4), Sampling(start, step, outputs))
    assert_close(result, torch.stack(columns, -1), rtol=0, atol=1e-12)


def test_shrinking_does_not_alias():
    stripes = (torch.arange(256) % 2).double().expand(1, 1, 256)
    assert_close(
        resized(stripes, Sampling(0.0, 1.0, 1), Sampling(0.0, 3.9, 65)).mean(),
        torch.tensor(0.5).double(),
        atol=1e-3,
        rtol=0,
    )
    assert resized(stripes, Sampling(0.0, 1.0, 1), Sampling(0.0, 3.9, 65))[..., 2:-2].std() < 0.02

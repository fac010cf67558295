import pytest
import torch
from joint_diffusion.benchmarks.distances import fid, kid
from joint_diffusion.benchmarks.figures.features import WEIGHTS, feature_distance, features_of, load_features
from joint_diffusion.demo.world import Scene, render
from torch.nn.functional import avg_pool2d, interpolate

WINDOWS = [(0, left, 128, 128) for left in range(0, 1024, 128)]
SCENES = [(season, hour) for season in ("spring", "summer", "autumn", "winter") for hour in ("dawn", "day", "dusk")]


def truth(seed, season, hour):
    drawn = render(Scene(seed=seed, season=season, hour=hour), 128, 1024, centre=(50.0 + seed, 0.5))
    return torch.from_numpy(drawn.image).permute(2, 0, 1)


def stacked(image):
    """A scene on itself, as windows that each show all of it make it."""
    half = avg_pool2d(image[None], (2, 1))
    return torch.cat([half, half], dim=2)[0]


FAULTS = {
    "blurred": lambda image: interpolate(avg_pool2d(image[None], 3, ceil_mode=True), size=image.shape[1:])[0],
    "of other colours": lambda image: image[[2, 0, 1]],
    "stacked": stacked,
    "mixed": lambda image: (image + image.flip(2)) / 2,
    "noisy": lambda image: image + 0.06 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)),
}


@pytest.fixture(scope="module")
def network():
    return load_features()


@pytest.fixture(scope="module")
def pictures():
    """Two sets of true pictures of the same kinds of scenes, and what the network makes of the first one."""
    return [[truth(100 * part + i, *scene) for i, scene in enumerate(SCENES)] for part in range(2)]


def features(network, images):
    return torch.cat([features_of(network, image, WINDOWS) for image in images])


@pytest.mark.parametrize("fault", FAULTS)
def test_true_pictures_are_nearer_to_true_pictures_than_damaged_ones(network, pictures, fault):
    reference, others = (features(network, images) for images in pictures)
    damaged = features(network, [FAULTS[fault](image) for image in pictures[1]])
    times = 20 if fault in ("of other colours", "stacked") else 1.4  # what joint diffusion is about shows most
    assert fid(damaged, reference) > times * fid(others, reference)
    assert kid(damaged, reference) > kid(others, reference) + 0.02


def test_feature_distance_grows_from_the_same_window_to_other_scenes(network):
    strip = torch.cat([truth(1, "summer", "day")[:, :, :256], truth(2, "winter", "dusk")[:, :, :256]], dim=2)
    first, second, other, _ = WINDOWS[:4]
    same, near, far = (feature_distance(network, strip, [(first, to)]) for to in (first, second, other))
    assert same == 0
    assert far > 1.5 * near > 0


def test_the_weights_are_small():
    assert WEIGHTS["landscapes"].stat().st_size < 2**20

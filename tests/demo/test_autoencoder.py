import pytest
import torch
from joint_diffusion.core.methods.scale_map import ScaleMap
from joint_diffusion.demo.autoencoder import CHANNELS, PIXELS_PER_CELL, Autoencoder
from joint_diffusion.demo.pipeline import load_autoencoder
from joint_diffusion.demo.world import Scene, render
from torch.testing import assert_close

RADIUS = 4  # latent cells: a pixel depends on no cell that is further away from its own


@pytest.fixture(scope="module")
def bundled():
    return load_autoencoder()


def fresh_images():
    scenes = [
        Scene(seed=991, season=s, hour=h) for s, h in (("summer", "day"), ("autumn", "dusk"), ("winter", "night"))
    ]
    drawn = [render(scene, 128, 128, zoom=zoom).image for scene in scenes for zoom in (1.0, 2.0)]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in drawn])


def test_fresh_pictures_survive_the_round_trip(bundled):
    images = fresh_images()
    latent = bundled.encode(images)
    assert latent.shape == (6, CHANNELS, 16, 16)
    assert (bundled.decode(latent) - images).abs().mean() < 0.03


def test_latents_are_about_normal(bundled):
    latent = bundled.encode(fresh_images())
    assert latent.mean().abs() < 0.4
    assert 0.6 < latent.std() < 1.5


def test_a_mean_of_cells_shows_the_picture_at_half_size(bundled):
    images = fresh_images()
    half = bundled.decode(torch.nn.functional.avg_pool2d(bundled.encode(images), 2))
    assert (half - torch.nn.functional.avg_pool2d(images, 2)).abs().mean() < 0.05


def test_the_map_between_scales_predicts_the_mean_of_cells(bundled):
    """From the latent of a picture at half its size, on pictures that it was not fitted to."""
    images = fresh_images()
    wanted = torch.nn.functional.avg_pool2d(bundled.encode(images), 2)
    small = bundled.encode(torch.nn.functional.avg_pool2d(images, 2))

    def unexplained(predicted):
        """1 - R^2."""
        spread = (wanted - wanted.mean(dim=(0, 2, 3), keepdim=True)).square().sum()
        return (wanted - predicted).square().sum() / spread

    mapped = unexplained(ScaleMap(bundled.half_matrix, bundled.half_offset)(small))
    assert mapped < 0.05
    assert mapped < 0.3 * unexplained(small)


def test_a_pixel_depends_on_cells_within_the_radius_and_no_further():
    torch.manual_seed(0)
    decode, middle = Autoencoder().double().decode, 10
    latent = torch.randn(1, CHANNELS, 21, 21).double()
    moved = latent.clone()
    moved[..., middle, middle] += 1
    changed = (decode(moved) - decode(latent)).abs().amax(dim=(0, 1)) > 0
    cells = changed.reshape(21, PIXELS_PER_CELL, 21, PIXELS_PER_CELL).any(3).any(1).nonzero()
    assert (cells - middle).abs().max() == RADIUS


def test_decoding_in_windows_with_that_much_context_is_exact(bundled):
    latent = torch.randn(1, CHANNELS, 12, 40)
    whole = bundled.decode(latent)
    r = RADIUS
    part = bundled.decode(latent[..., 10 - r : 30 + r])[..., r * PIXELS_PER_CELL : -r * PIXELS_PER_CELL]
    assert_close(part, whole[..., 10 * PIXELS_PER_CELL : 30 * PIXELS_PER_CELL], rtol=1e-4, atol=1e-4)


def test_sizes_that_are_no_whole_cells_are_refused():
    with pytest.raises(ValueError, match="image: height and width must be multiples of 8 pixels, got 64 x 60"):
        Autoencoder().encode(torch.zeros(1, 3, 64, 60))

"""What is measured of the bundled model, on pictures and models whose answer is known."""

import pytest
from commands import printed

CODE = """
import json, torch
from benchmarks.figures.bundled_model import lattice, prediction_error

noise = 0.5 + 0.05 * torch.randn(32, 3, 128, 128, generator=torch.Generator().manual_seed(0))
dots = torch.zeros(128, 128)
dots[::8, ::8] = 1
black = torch.full((4, 3, 128, 128), 2 / 255) + dots / 255
lattices = {
    "noise": noise,
    "dots in every cell": noise + 0.1 * dots,
    "dots of a fifth of a grey level": noise + 0.2 / 255 * dots,
    "black windows with dots of a grey level": torch.cat([noise, black]),
}
print(json.dumps({name: lattice(images) for name, images in lattices.items()}))

latents = torch.randn(64, 8, 16, 16, generator=torch.Generator().manual_seed(1))

class Model:
    def __init__(self, denoise):
        self.of = denoise
    def encode(self, prompts):
        return torch.zeros(len(prompts), 1, 1)
    def denoise(self, x, sigma, context):
        return self.of(x, sigma)

knows = {"nothing": lambda x, sigma: x / (1 + sigma**2), "everything": lambda x, sigma: latents}
errors = {what: prediction_error(Model(denoise), latents, ["sky"] * 64, 64) for what, denoise in knows.items()}
print(json.dumps(errors))
"""


@pytest.fixture(scope="module")
def found():
    return printed(CODE)


def test_dots_in_every_cell_are_a_lattice_unless_they_cannot_be_seen(found):
    lattices = found[0]
    assert lattices.pop("dots in every cell") > 3
    assert lattices == pytest.approx(dict.fromkeys(lattices, 1), abs=0.3)


def test_the_error_is_1_if_nothing_is_known_and_0_if_everything_is(found):
    assert found[1] == pytest.approx({"nothing": 1, "everything": 0}, abs=0.02)

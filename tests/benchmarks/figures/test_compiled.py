"""The compiled denoiser beside the denoiser. It is computed line by line here: compiling takes half a minute."""

import pytest
from commands import printed, python

CODE = """
import json, torch
torch.compile = lambda model, **options: model
from benchmarks.figures.compiled import BATCH, Compiled
from demo.pipeline import LandscapePipeline

unet = LandscapePipeline().unet
compiled = Compiled(unet)
words = torch.randn(1, 12, 128, generator=torch.Generator().manual_seed(1))

apart = []
for views in (1, BATCH, BATCH + 5):
    x = torch.randn(views, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    levels, context = torch.linspace(-0.5, 0.5, views), words.expand(views, -1, -1)
    with torch.no_grad():
        wanted, given = unet(x, levels, context), compiled(x, levels, context)
    apart.append(((given - wanted).norm() / wanted.norm()).item())
print(json.dumps(apart))

wide, asked = torch.randn(1, 8, 16, 32), torch.randn(1, 8, 16, 16, requires_grad=True)
print(json.dumps([torch.equal(compiled(x, levels[:1], words), unet(x, levels[:1], words)) for x in (wide, asked)]))
compiled(asked, levels[:1], words).sum().backward()
print(json.dumps(asked.grad.abs().sum().item()))
"""


@pytest.fixture(scope="module")
def found():
    return printed(CODE)


def test_any_number_of_views_is_predicted_as_by_the_denoiser_up_to_bfloat16(found):
    assert len(found[0]) == 3
    assert all(0 < apart < 0.02 for apart in found[0])


def test_other_sizes_and_gradients_are_left_to_the_denoiser(found):
    same, gradient = found[1:]
    assert same == [True, True]
    assert gradient > 0


def test_it_is_refused_without_bfloat16():
    done = python("-m", "benchmarks.figures", "msd", "--compile")
    assert done.returncode == 2
    assert "--compile: what is compiled computes in bfloat16; give --bfloat16 too." in done.stderr

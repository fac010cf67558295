"""What only benchmarks measure, on pictures whose answer is known."""

import pytest
from commands import printed

CODE = """
import json, torch
from benchmarks.figures.gallery import Kept
from benchmarks.figures.measures import Row, measure, palette_diversity
greys = torch.tensor([0.1, 0.1, 0.5]).view(3, 1, 1, 1).expand(3, 3, 8, 8)
print(json.dumps(palette_diversity(greys).tolist()))
try:
    palette_diversity(greys[:1])
except ValueError as error:
    print(json.dumps(str(error)))
noise = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
stripes = (torch.arange(256) % 8 < 4).float()
kept = [Kept(0.5 * noise + 0.5 * stripes, views, 2.0 * views) for views in (2, 3, 7)]
row = Row(kept=kept, prompts=[""] * 3, stride=8, network=None)
names = [f"grid {axis} {period} px" for axis in "xy" for period in (8, 16)] + ["sharpness"]
print(json.dumps({name: value for name, (value, *_) in measure(row, names).items()}))
print(json.dumps(measure(row, ["seconds", "views denoised"])))
try:
    measure(row, ["grid x, 8 px"])
except KeyError as error:
    print(json.dumps(error.args))
"""


@pytest.fixture(scope="module")
def found():
    return printed(CODE)


def test_diversity_is_the_distance_to_the_other_panoramas(found):
    diversity, refusal, *_ = found
    apart = 3**0.5 * 0.4  # three channels, and no contrast
    assert diversity == pytest.approx([apart / 2, apart / 2, apart], rel=1e-4)
    assert refusal == "diversity: needs at least 2 panoramas in a row, got 1; use --seeds 2 or more."


def test_stripes_are_a_grid_of_their_own_period_and_axis(found):
    grids = found[2]
    sharp = grids.pop("sharpness")
    assert grids.pop("grid x 8 px") > 100
    assert grids == pytest.approx(dict.fromkeys(("grid y 8 px", "grid x 16 px", "grid y 16 px"), 1.0), rel=0.3)
    assert sharp > 0.1


def test_cost_is_the_mean_of_views_and_the_median_of_seconds(found):
    assert found[3] == {"views denoised": 4, "seconds": 6}


def test_an_unknown_metric_is_refused_and_not_left_out(found):
    assert found[4] == ["grid x, 8 px"]

"""What only benchmarks measure, on pictures whose answer is known."""

import json
import subprocess
import sys

import pytest
from host import ROOT

CODE = """
import json, torch
from benchmarks.measures import palette_diversity
greys = torch.tensor([0.1, 0.1, 0.5]).view(3, 1, 1, 1).expand(3, 3, 8, 8)
print(json.dumps(palette_diversity(greys).tolist()))
try:
    palette_diversity(greys[:1])
except ValueError as error:
    print(json.dumps(str(error)))
"""


def test_diversity_is_the_distance_to_the_other_panoramas():
    found = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    diversity, refusal = map(json.loads, found.splitlines())
    apart = 3**0.5 * 0.4  # three channels, and no contrast
    assert diversity == pytest.approx([apart / 2, apart / 2, apart], rel=1e-4)
    assert refusal == "diversity: needs at least 2 panoramas in a row, got 1; use --seeds 2 or more."

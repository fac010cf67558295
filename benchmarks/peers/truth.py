"""True pictures for the other processes: the host's own must not have the core twice.

python -m benchmarks.peers.truth FILE '[["summer day", 0, 256, 1024]]'
"""

import json
import sys
from pathlib import Path

import torch

from ..figures.truth import true_panorama


def main() -> None:
    """Write the pictures (3, height, width) of a list of prompt, seed, height and width."""
    torch.save([true_panorama(*one) for one in json.loads(sys.argv[2])], Path(sys.argv[1]))


if __name__ == "__main__":
    main()

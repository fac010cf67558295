"""Train the model of the town, as `demo.train` does that of the landscapes, with the same options.

    python -m benchmarks.town.train

A run that was stopped goes on where it was.
"""

from pathlib import Path

from demo.train.__main__ import main

from .world import TOWN

if __name__ == "__main__":
    main(TOWN, kept=Path("out/train-town"))

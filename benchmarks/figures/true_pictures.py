"""What the measures of Panorama Metrics are for true pictures, which have no seams: the scale to judge others by.

    python -m benchmarks.figures.true_pictures

The pictures are drawn in one piece, encoded and decoded. Their "borders" lie where windows at the usual overlap would
have them. As they do not wrap, a wrap error is that of any border: both are the step at one place beside those nearby.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from core.measure.panorama import Metrics, panorama_metrics
from demo.autoencoder import PIXELS_PER_CELL
from demo.pipeline import load_autoencoder
from demo.worlds import World

from ..table import RESULTS, Table
from ..worlds import WORLDS, add_world, table_name
from .features import WINDOW
from .measures import native_windows
from .prompts import PROMPTS
from .truth import true_panorama

ROWS, COLUMNS = (1, 2), 8  # native windows
SEEDS = 24  # pictures for each number of rows
FIRST = 5000  # seed, far from those of other figures
MOST = 0.95


def measured(seeds: int, world: World) -> list[Metrics]:
    """The measures of `seeds` pictures of each size."""
    prompts, autoencoder, found = PROMPTS[world.name].palettes, load_autoencoder(world), []
    for rows, seed in product(ROWS, range(seeds)):
        size = rows * WINDOW, COLUMNS * WINDOW
        drawn = true_panorama(prompts[seed % len(prompts)], FIRST + seed, *size, world)[None]
        image = autoencoder.decode(autoencoder.encode(drawn)).clamp(0, 1)
        found.append(panorama_metrics(image, native_windows(image, WINDOW // 2), pixels_per_cell=PIXELS_PER_CELL))
    return found


def numbers(metrics: Sequence[Metrics]) -> dict[str, Tensor]:
    """For each measure what it is for all pictures, or for all borders."""
    return {
        "seam energy": torch.cat([one.seam_energy for one in metrics]),
        "worst seam": torch.cat([one.seams.amax(1) for one in metrics]),
        "wrap error": torch.cat([one.seams.flatten() for one in metrics]),
        "palette distance": torch.cat([one.palette_distance for one in metrics]),
        "style distance": torch.cat([one.style_distance for one in metrics]),
    }


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_world(parser)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="pictures of each size")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args(arguments)
    count, world = len(ROWS) * args.seeds, WORLDS[args.world]
    note = (
        f"{count} true panoramas of {' or '.join(map(str, ROWS))} x {COLUMNS} windows, encoded and decoded: the "
        "median, what 95 of 100 stay below, and the largest number. Wrap error: of single borders."
    )
    table = Table(table_name("true-pictures", world), "measure", ["median", "95 of 100", "all"], note=note)
    for name, values in numbers(measured(args.seeds, world)).items():
        low, most, worst = (torch.quantile(values, part).item() for part in (0.5, MOST, 1.0))
        table.row(name, {"median": low, "95 of 100": most, "all": worst}, panoramas=count)
    table.save(args.results)


if __name__ == "__main__":
    main()

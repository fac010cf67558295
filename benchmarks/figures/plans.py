"""Windows and views of usual canvases, counted: what `docs/choosing_settings.md` says about cost. Paints nothing."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from core.canvas.windows import Size
from core.joint_params import JointParams
from core.measure.cost import views_per_step
from core.methods.multidiffusion import WindowParams
from core.methods.multiscale import MultiScaleParams
from core.methods.syncdiffusion import SyncParams
from core.step import Step

from ..table import RESULTS, Table

PIXELS_PER_CELL = 8  # pixels
GRIDS = {512: 8, 1024: 4}  # latent cells that the U-Nets of SD 1.5 and SDXL need, by the side of their windows
CANVASES = {  # side of a window; width and height of the canvas
    "SD 1.5, 2048 x 512": (512, 2048, 512),
    "SD 1.5, 4096 x 1024": (512, 4096, 1024),
    "SDXL, 3072 x 1024": (1024, 3072, 1024),
    "SDXL, 4096 x 2048": (1024, 4096, 2048),
}
MSD, SYNC = {"multiscale": MultiScaleParams()}, {"sync": SyncParams()}
LITERAL = {"multiscale": MultiScaleParams(guidance="gradient"), "sync": SyncParams(guidance="gradient")}
METHODS = {  # all at the usual overlap, but for windows that move
    "moving windows": {"moving": True},
    "Sync Guidance": SYNC,
    "Multi-Scale Sampler": MSD,
    "both": MSD | SYNC,
    "both, moving windows": {**MSD, **SYNC, "moving": True},
    "both, guidance gradient": LITERAL,
}
OVERLAPS = (0.25, 0.5, 0.75)
USUAL = 0.5
FIRST = Step(sigma=1e3)  # where every method acts


def params(window: int, overlap: float, moving: bool = False, **methods) -> JointParams:
    """Square windows of `window` pixels with that overlap, a part of the window."""
    side, grid = window // PIXELS_PER_CELL, GRIDS[window]
    stride = round(side * (1 - overlap) / grid) * grid
    square, apart = Size(side, side), Size(stride, stride)
    return JointParams(windows=WindowParams(window=square, stride=apart, grid=grid, moving=moving), **methods)


def counts(window: int, width: int, height: int) -> Iterator[tuple[str, int]]:
    """Views in the first step of one canvas: plain at several overlaps, and by every method that can be."""
    canvas = Size(height // PIXELS_PER_CELL, width // PIXELS_PER_CELL)
    for overlap in OVERLAPS:
        yield f"overlap {overlap}", views_per_step(canvas, params(window, overlap), FIRST)
    for label, methods in METHODS.items():
        if "multiscale" not in methods or height > window:
            yield label, views_per_step(canvas, params(window, USUAL, **methods), FIRST)


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args()
    columns = [*(f"overlap {overlap}" for overlap in OVERLAPS), *METHODS]
    note = (
        f"Windows that the model denoises in the first step; methods at overlap {USUAL}, with as many scales as the "
        "canvas asks for. Moving windows are one fewer per row and column in some steps."
    )
    table = Table("plans", "canvas", columns, note=note, command="python -m benchmarks.figures.plans")
    for name, canvas in CANVASES.items():
        table.row(name, dict(counts(*canvas)))
    table.save(args.results)


if __name__ == "__main__":
    main()

"""Windows and views of usual canvases, counted: what `docs/choosing_settings.md` says about cost. Paints nothing."""

from collections.abc import Iterator

from core.cost import views_per_step
from core.joint_step import JointParams
from core.multidiffusion import WindowParams
from core.multiscale import MultiScaleParams
from core.step import Step
from core.syncdiffusion import SyncParams
from core.windows import Size

from .table import Table

CELL = 8  # pixels
GRIDS = {512: 8, 1024: 4}  # latent cells that the U-Nets of SD 1.5 and SDXL need, by the side of their windows
CANVASES = {  # side of a window; width and height of the canvas
    "SD 1.5, 2048 x 512": (512, 2048, 512),
    "SD 1.5, 4096 x 1024": (512, 4096, 1024),
    "SDXL, 3072 x 1024": (1024, 3072, 1024),
    "SDXL, 4096 x 2048": (1024, 4096, 2048),
}
METHODS = {
    "Sync Guidance": {"sync": SyncParams()},
    "Multi-Scale Sampler": {"multiscale": MultiScaleParams(scales=2)},
    "both": {"multiscale": MultiScaleParams(scales=2), "sync": SyncParams()},
}
OVERLAPS = (0.25, 0.5, 0.75)
USUAL = 0.5
FIRST = Step(sigma=1.0, kept=0.0, index=0, count=1)


def params(window: int, overlap: float, **methods) -> JointParams:
    """Square windows of `window` pixels with that overlap, a part of the window."""
    side, grid = window // CELL, GRIDS[window]
    stride = round(side * (1 - overlap) / grid) * grid
    return JointParams(windows=WindowParams(window=Size(side, side), stride=Size(stride, stride), grid=grid), **methods)


def counts(window: int, width: int, height: int) -> Iterator[tuple[str, int]]:
    """Views per step of one canvas: plain at several overlaps, and guided at half overlap where that is possible."""
    canvas = Size(height // CELL, width // CELL)
    for overlap in OVERLAPS:
        yield f"overlap {overlap}", views_per_step(canvas, params(window, overlap), FIRST)
    for label, methods in METHODS.items():
        if "multiscale" not in methods or height > window:
            yield label, views_per_step(canvas, params(window, USUAL, **methods), FIRST)


def main() -> None:
    """Print and keep the table."""
    columns = [*(f"overlap {overlap}" for overlap in OVERLAPS), *METHODS]
    note = f"Windows that the model denoises in one step; those of guided steps at overlap {USUAL}, with 2 scales."
    table = Table("plans", "canvas", columns, note=note, command="python -m benchmarks.plans")
    for name, canvas in CANVASES.items():
        table.row(name, dict(counts(*canvas)))
    table.save()


if __name__ == "__main__":
    main()

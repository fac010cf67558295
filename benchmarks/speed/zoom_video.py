"""What a zoom video costs beside the encoder itself.

    python -m benchmarks.speed.zoom_video

A stack of 16 levels at 1024 x 1024, 60 frames a level. Prints, for each format, measured side by side in one run:
frames per second of the encoder alone, on frames that are given to it, and of rendering and encoding together; and,
each in a process of its own, the peak memory of a video and of its first quarter above that of the process that holds
the stack. `--levels` and `--frames` shorten it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from core.methods.powers_of_ten import render_image
from core.zoom.between_levels import render_frames
from core.zoom.path import ZoomPath
from nodes.video_file import ENCODERS, picture_of, write_pictures, write_video

from ..table import RESULTS, Table

P, FPS, CRF = 2, 60, 20
COLUMNS = (
    "frames",
    "rendering, fps",
    "encoder alone, fps",
    "both, fps",
    "both over encoder alone",
    "peak of a quarter, MiB",
    "peak, MiB",
)
PART = 60  # frames encoded in one turn: the encoder alone, then both, so that a busy machine slows them alike


def stack(levels: int, side: int) -> Tensor:
    """Levels with detail at every scale, consistent as those of a zoom stack: noise of all octaves."""
    generator = torch.Generator().manual_seed(0)
    layers = torch.full((levels, 3, side, side), 0.5)
    cells = 4
    while cells <= side:
        for layer in layers:  # one by one: all at once would be counted as memory of the stack
            noise = torch.randn(1, 3, cells, cells, generator=generator)
            layer += torch.nn.functional.interpolate(noise, layer.shape[1:], mode="bilinear")[0] * 0.3 / cells**0.5
        cells *= 2
    return render_image(layers.clamp_(0, 1), P)


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parts(zooms: list[float]) -> Iterator[list[float]]:
    for first in range(0, len(zooms), PART):
        yield zooms[first : first + PART]


def speed(levels: Tensor, zooms: list[float], ending: str, folder: Path) -> dict[str, float]:
    """Frames per second."""
    alone, both, rendering = [], [], []
    path = folder / f"part.{ending}"
    for part in parts(zooms):
        given: list[av.VideoFrame] = []
        rendering.append(seconds(lambda part=part, given=given: given.extend(map(picture_of, frames(levels, part)))))
        alone.append(seconds(lambda given=given: write_pictures(path, given, FPS, CRF)))
        both.append(seconds(lambda part=part: write_video(path, frames(levels, part), FPS, CRF)))
    count = len(zooms)
    ratio = statistics.median(one / other for one, other in zip(alone, both, strict=True))
    return {
        "frames": count,
        "rendering, fps": count / sum(rendering),
        "encoder alone, fps": count / sum(alone),
        "both, fps": count / sum(both),
        "both over encoder alone": ratio,
    }


def frames(levels: Tensor, zooms: list[float]) -> Iterator[Tensor]:
    return render_frames(levels, zooms, P)


def memory(zooms: list[float], ending: str, stack_file: Path) -> float:
    """Peak memory in MiB of a video, in a process of its own.

    A peak does not come down again, so neither the making of the stack nor another video may be in it.
    """
    code = (
        "import numpy, torch; torch.set_grad_enabled(False)\n"
        "from pathlib import Path\n"
        "from benchmarks.speed.measuring import resident\n"
        "from benchmarks.speed.zoom_video import CRF, FPS, frames, write_video\n"
        f"levels = torch.from_numpy(numpy.load({str(stack_file)!r})); before = resident('VmHWM')\n"
        f"path = Path({str(stack_file.with_suffix('.' + ending))!r})\n"
        f"write_video(path, frames(levels, {zooms}), FPS, CRF); print(resident('VmHWM') - before)"
    )
    return float(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--levels", type=int, default=16)
    parser.add_argument("--side", type=int, default=1024, help="pixels")
    parser.add_argument("--frames", type=int, default=60, help="frames a level")
    parser.add_argument("--formats", nargs="+", choices=list(ENCODERS), default=list(ENCODERS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    size = f"{args.levels} levels of {args.side} x {args.side}, {args.frames} frames a level, crf {CRF}"
    table = Table("zoom-video", "encoder", COLUMNS, note=f"{size}; PyAV {av.__version__}.")
    zooms = ZoomPath(frames_per_level=args.frames).zooms(args.levels)
    levels = stack(args.levels, args.side)
    with tempfile.TemporaryDirectory() as folder:
        np.save(stack_file := Path(folder) / "stack.npy", levels.numpy())
        for ending in args.formats:
            metrics = speed(levels, zooms, ending, Path(folder))
            metrics["peak of a quarter, MiB"] = memory(zooms[: len(zooms) // 4], ending, stack_file)
            metrics["peak, MiB"] = memory(zooms, ending, stack_file)
            table.row(ENCODERS[ending][0], metrics)
    table.save(args.results)


if __name__ == "__main__":
    main()

"""All that is worth knowing of a GPU, in so many minutes at most.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --without sizes compiled --minutes 4

Needs this repository, torch, and a folder with ComfyUI's `comfy/` and what it imports (COMFYUI_PATH). Models have the
real shapes and random weights, so nothing is downloaded. Parts that say most come first. After each row the report is
written anew, so that a stop midway keeps what is done. On a CPU all is tiny.
"""

import argparse
import gc
import time
from importlib import import_module
from pathlib import Path

from ..host import start_host
from ..table import RESULTS, this_command
from .parts import Part, run_parts
from .report import Report

# Modules of this folder, and their share of the time. What says most comes first; compiling may take all that is left.
PARTS = {
    "steps": 3,
    "kernels": 1,
    "twin_table": 1,
    "methods": 4,
    "out_of_memory": 1,
    "sizes": 2,
    "precision": 1,
    "decoding": 1,
    "compiled": 3,
}
CLOSING = 10.0  # seconds for what comes after the last part


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="these alone")
    parser.add_argument("--without", nargs="+", choices=PARTS, default=[], help="all but these")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all together")
    parser.add_argument("--steps", type=int, default=4, help="of a run; the first one is not measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the report goes")
    args = parser.parse_args()
    if args.steps < 2:
        parser.error(f"--steps: must be at least 2, as the first step of a run is not measured, got {args.steps}.")
    if args.minutes <= 0:
        parser.error(f"--minutes: must be more than 0, got {args.minutes:g}.")
    return args


def load(name: str) -> Part:
    return import_module(f".{name}", __package__).PART


def main() -> None:
    args = options()
    end = time.monotonic() + 60 * args.minutes - CLOSING
    start_host()
    import comfyui_version

    from . import device
    from .bench import Bench

    gc.freeze()  # what modules hold need not be looked through after each part
    where = f"{device.describe()}; ComfyUI {comfyui_version.__version__}"
    heading = f"# {device.name()}\n\n`{this_command()}` ({where}): models of real shapes with random weights."
    if not device.CUDA:
        heading += " On a CPU the models are tiny: these numbers only show that all parts run."
    report = Report(args.results, f"gpu-{device.name()}", heading, f"{this_command()}; {where}")
    bench = Bench(tiny=not device.CUDA, steps=args.steps)
    chosen = {name: share for name, share in PARTS.items() if name in args.parts and name not in args.without}
    run_parts(chosen, load, bench, report, end)
    print(f"\n{report.markdown.read_text(encoding='utf-8')}\n{report.markdown}")


if __name__ == "__main__":
    main()

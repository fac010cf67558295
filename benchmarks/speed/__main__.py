"""How fast is a joint step? The pack against the model itself, the papers' loops, the host's windows and another pack.

    python -m benchmarks.speed
    python -m benchmarks.speed --models demo sd15 sdxl --peer ~/ComfyUI/custom_nodes/ComfyUI-TiledDiffusion

In ComfyUI's own sampling, with Euler and two prompts, on windows that overlap by half or move; at noise levels at which
every method acts in every step. `demo` is the bundled model; `sd15` and `sdxl` have the shape of these models and
random weights, and are meant for a GPU. All ways of one table take turns in one run. Those that do the same must give
the same picture: how far they are apart is in the table, as a part of the largest value.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..host import start_host
from ..table import RESULTS, Table
from .measuring import DEVICE, Run, peak_memory, take_turns

if TYPE_CHECKING:
    from .contenders import Contenders

SPEED = ("views", "model calls", "seconds", "times the bare model", "peak memory, MiB", "apart")
WIDTH = ("windows", "seconds", "peak memory, MiB", "seconds per window", "seconds beside them", "exponent")
BESIDE = ("milliseconds", "microseconds per window")


def against_others(contenders: "Contenders", table: Table, args: argparse.Namespace) -> None:
    """All ways on one canvas."""
    from .contenders import BARE, LOOPS, METHODS, PLAIN

    measured = measure(contenders, contenders.runs(), args)
    for name, run in measured.items():
        metrics = {
            "views": run.rows / 2,  # a row for each prompt
            "model calls": run.calls,
            "seconds": run.seconds,
            "times the bare model": run.seconds / measured[BARE].seconds,
        }
        if args.memory:
            metrics["peak memory, MiB"] = peak(contenders, name)
        if name in LOOPS or name not in {BARE, *METHODS, *LOOPS.values()}:
            loop = measured[LOOPS.get(name, LOOPS[PLAIN])].result
            metrics["apart"] = ((run.result - loop).abs().max() / loop.abs().max()).item()
        table.row(name, metrics)


def by_width(contenders: "Contenders", table: Table, args: argparse.Namespace) -> None:
    """MultiDiffusion on wider and wider canvases; memory must stay where it is."""
    from .contenders import PLAIN

    rows, _ = contenders.canvas
    sizes = {f"{rows} x {width} windows": contenders._replace(canvas=(rows, width)) for width in args.widths}
    measured = measure(contenders, {name: size.ours() for name, size in sizes.items()}, args)
    for name, size in sizes.items():
        metrics = {"windows": size.count, "seconds": measured[name].seconds}
        if args.memory:
            metrics["peak memory, MiB"] = peak(size, PLAIN)
        table.row(name, metrics)
    windows, seconds = [size.count for size in sizes.values()], [run.seconds for run in measured.values()]
    slope, constant = np.polyfit(windows, seconds, 1)
    exponent, _ = np.polyfit(np.log(windows), np.log(seconds), 1)
    table.row("fit", {"seconds per window": slope, "seconds beside them": constant, "exponent": exponent})


def beside_the_model(contenders: "Contenders", table: Table, args: argparse.Namespace) -> None:
    """What a step takes if the model takes nothing."""
    from .contenders import WITHOUT_WINDOWS

    measured = measure(contenders, contenders.without_model(), args, steps=args.steps_beside)
    for name, run in measured.items():
        metrics = {"milliseconds": 1e3 * run.seconds}
        if name != WITHOUT_WINDOWS:
            more = run.seconds - measured[WITHOUT_WINDOWS].seconds
            metrics["microseconds per window"] = 1e6 * more / contenders.count
        table.row(name, metrics)


def measure(contenders: "Contenders", runs: dict[str, Run], args: argparse.Namespace, steps: int = 0):
    network = contenders.subject.patcher.model.diffusion_model
    return take_turns(runs, network, steps or args.steps, args.repetitions)


def peak(contenders: "Contenders", name: str) -> float:
    """Peak memory of a step above that of the loaded model, in MiB."""
    if DEVICE == "cuda":
        return peak_here(contenders, name)
    # In a process of its own, because memory that was used once is not all given back.
    what = ["--models", contenders.subject.name, "--canvas", *map(str, contenders.canvas), "--peak", name]
    process = [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:], *what]
    return float(subprocess.run(process, stdout=subprocess.PIPE, text=True, check=True).stdout)


def peak_here(contenders: "Contenders", name: str) -> float:
    contenders._replace(canvas=(1, 1)).bare(1, lambda: None)  # what is loaded once belongs to no step
    run = contenders.runs()[name]
    return peak_memory(lambda: run(1, lambda: None))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=("demo", "sd15", "sdxl"), default=["demo"])
    parser.add_argument("--peer", type=Path, help="folder of another pack with a TiledDiffusion node")
    parser.add_argument("--canvas", type=int, nargs=2, default=(2, 8), help="rows and columns of windows side by side")
    parser.add_argument("--widths", type=int, nargs="+", default=(2, 4, 8, 16), help="columns of the wider canvases")
    parser.add_argument("--window", type=int, help="latent cells; left out, the model's own")
    parser.add_argument("--batch", type=int, default=8, help="windows in one model call")
    parser.add_argument("--steps", type=int, default=3, help="of a turn; the first one is not measured")
    parser.add_argument("--steps-beside", type=int, default=30, help="of a turn in which the model costs nothing")
    parser.add_argument("--repetitions", type=int, default=2, help="turns")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure it, too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables go")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps < 2 or args.steps_beside < 2:
        parser.error("--steps, --steps-beside: must be at least 2, as the first step of a turn is not measured.")
    return args


def main() -> None:
    args = options()
    start_host()
    from ..peers.packs import TiledDiffusion
    from .contenders import Contenders
    from .models import MODELS

    peer = TiledDiffusion(args.peer, "--peer") if args.peer else None
    for model in args.models:
        subject = MODELS[model]()
        window = args.window or subject.window
        canvas = Contenders(subject, tuple(args.canvas), window, args.batch, peer)
        if args.peak:
            print(peak_here(canvas, args.peak))
            return
        strip = canvas._replace(canvas=(1, canvas.canvas[1]))
        for name, contenders, columns, fill in (
            ("", canvas, SPEED, against_others),
            ("-strip", strip, SPEED, against_others),
            ("-width", canvas, WIDTH, by_width),
            ("-beside", canvas, BESIDE, beside_the_model),
            ("-beside-strip", strip, BESIDE, beside_the_model),
        ):
            height, width = contenders.canvas
            note = (
                f"One step of {model} on {height} x {width} windows of {window} x {window} cells, {contenders.count} "
                f"with overlaps, {args.batch} a call."
            )
            table = Table(f"speed-{model}{name}", "step", columns, note=note, device=DEVICE)
            fill(contenders, table, args)
            table.save(args.results)


if __name__ == "__main__":
    main()

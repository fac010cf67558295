"""Faults as figures: what is done to the pack and to a real server, how often, and how often that ended badly.

    python -m benchmarks.faults
    python -m benchmarks.faults --short --results DIR

Prints a table and writes it to benchmarks/results/faults.csv; what was bad is named below the table, and the command
then ends with 1. Models are tiny or the bundled one, on the CPU. `--short` does a few of each in well under a minute,
and kills no server. `--parts` does some parts alone; the rows of the others stay as they are in the file.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ..host import start_host
from ..table import RESULTS, Table, read
from .bad_inputs import tried as tried_inputs
from .clients import Clients
from .killed import kill_servers
from .rows import ADDRESSES, INPUTS, KILL, KINDS, NAMES, PROGRAMS, QUEUE, ROWS, RUNS, SCRIPTS
from .strange_names import read_addresses, texts_that_are_scripts, weights_that_are_programs, written_names

COLUMNS = (
    "tried",
    "ended wrongly",
    "something changed",
    "next run differs",
    "half-written files",
    "survived",
    "objects more",
    "MiB more",
)
NOTE = (
    "After every fault parameters, buffers, options, hooks and globals of ComfyUI are compared with those before, and "
    "the next run with one that nobody disturbed, bit by bit. Survived: the run went on to its end."
)


class Amount(NamedTuple):
    """How much is tried. Only some subjects and nodes where they are named."""

    faults: int
    runs: int
    prompts: int
    clients: int
    names: int
    addresses: int
    kills: int
    subjects: tuple[str, ...] | None = None
    nodes: list[str] | None = None
    browser: bool = True


LONG = Amount(faults=484, runs=1000, prompts=100, clients=8, names=200, addresses=2000, kills=20)
SHORT = Amount(
    faults=24,
    runs=20,
    prompts=12,
    clients=4,
    names=8,
    addresses=100,
    kills=0,
    subjects=("MultiDiffusion", "Flux", "zoom stack, latents", "Save Panorama, png", "Zoom Video, mp4"),
    nodes=["PanoramaWindows", "SavePanorama", "TwinImages"],
    browser=False,
)
# Of the thousand runs: all that is remembered from run to run, and no subject that takes long.
OFTEN = ("moving windows", "TwinDiffusion", "zoom stack, latents", "twin images", "Panorama Encode")
OFTEN += ("Save Panorama, png", "Zoom Video, mp4", "structure of a picture")
MORE_OBJECTS, MORE_MEBIBYTES = 0.05, 0.02  # for each run, that are no growth: caches that are full later than others


class Faults:
    """The table, and what was bad."""

    def __init__(self, amount: Amount, seed: int):
        self.amount, self.seed = amount, seed
        # Whichever parts are done: the whole makes the same table again.
        self.table = Table("faults", "what is done", COLUMNS, note=NOTE, command="python -m benchmarks.faults")
        self.bad: list[str] = []

    def row(self, label: str, tried: int, complaints: Sequence[str], **others: float) -> None:
        self.complain(label, complaints)
        numbers = {name.replace("_", " "): value for name, value in others.items()}
        self.table.row(label, {"tried": tried, "ended wrongly": len(complaints), **numbers})

    def complain(self, label: str, complaints: Sequence[str]) -> None:
        """At once: a run takes long."""
        for text in complaints:
            self.bad.append(f"{label}: {text}")
            print(self.bad[-1], file=sys.stderr, flush=True)

    @torch.inference_mode()
    def at_moments(self, folder: Path) -> None:
        """Faults at random moments."""
        from .moments import disturbances
        from .subjects import scene

        stage = scene(folder)
        chosen = [s for s in stage.subjects() if self.amount.subjects is None or s.name in self.amount.subjects]
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        for outcome in disturbances(stage, chosen, self.amount.faults, self.seed):
            counts[outcome.kind] += Counter(_numbers(outcome))
            self.complain(outcome.kind, [f"{outcome.of}: {text}" for text in outcome.complaints])
        for kind, count in counts.items():
            self.table.row(kind, {name: count[name] for name in COLUMNS[:6]})

    @torch.inference_mode()
    def many_runs(self, folder: Path) -> None:
        """One after the other, with a fault now and then."""
        from .many_runs import many_runs
        from .subjects import scene

        stage = scene(folder)
        often = [subject for subject in stage.subjects() if subject.name in OFTEN]
        growth = many_runs(stage, often, self.amount.runs, self.seed)
        grown = growth.objects > MORE_OBJECTS * growth.runs or growth.mebibytes > max(MORE_MEBIBYTES * growth.runs, 8)
        grown = grown or growth.tensors > 0 or growth.files > 0
        complaints = [str(growth)] * (grown or growth.differ > 0)
        more = {"objects more": growth.objects, "MiB more": growth.mebibytes, "next run differs": growth.differ}
        self.row(RUNS, growth.runs, complaints, **more)

    def at_a_server(self, folder: Path) -> None:
        """Many clients, bad inputs, strange names."""
        from comfy_server import running_server

        amount = self.amount
        with running_server(folder) as server:
            complaints = Clients(server).queue(amount.prompts, amount.clients, self.seed)
            self.row(QUEUE, amount.prompts, complaints)
            self.row(INPUTS, *tried_inputs(server, amount.nodes))
            self.row(NAMES, *written_names(server, amount.names, self.seed))
            self.row(ADDRESSES, *read_addresses(server, amount.addresses, self.seed))
            self.row(PROGRAMS, *weights_that_are_programs(server))
            if amount.browser:
                self.row(SCRIPTS, *texts_that_are_scripts(server))

    def killed(self, folder: Path) -> None:
        """SIGKILL in the middle of runs."""
        if not self.amount.kills:
            return
        kills = kill_servers(folder, self.amount.kills, self.seed)
        self.complain(KILL, [*kills.half_written, *kills.differ])
        files = {"half-written files": len(kills.half_written), "next run differs": len(kills.differ)}
        self.table.row(KILL, {"tried": kills.tried, "ended wrongly": 0, **files})

    def save(self, results: Path) -> None:
        """Beside the rows of parts that were done before."""
        path = results / f"{self.table.name}.csv"
        done = {label for label, *_ in self.table.lines}
        before = read(path)[1] if path.exists() else []
        kept = [(line["row"], line["metric"], float(line["value"]), None) for line in before if line["row"] not in done]
        self.table.lines = sorted([*kept, *self.table.lines], key=lambda line: ROWS.index(line[0]))
        self.table.save(results)


def _numbers(outcome) -> Iterator[str]:
    """The columns in which an outcome counts."""
    wrong = (outcome.ended, outcome.left, outcome.differs, outcome.half_written, outcome.survived)
    yield COLUMNS[0]
    yield from (column for column, is_so in zip(COLUMNS[1:6], wrong, strict=True) if is_so)


PARTS = {
    "moments": Faults.at_moments,
    "runs": Faults.many_runs,
    "server": Faults.at_a_server,
    "kills": Faults.killed,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few of each, and no kills")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args(arguments)
    if {"moments", "runs"} & set(args.parts):
        start_host()
    faults = Faults(SHORT if args.short else LONG, args.seed)
    with tempfile.TemporaryDirectory() as name:
        for part in args.parts:
            (folder := Path(name) / part).mkdir()
            PARTS[part](faults, folder)
            faults.save(args.results)
    sys.exit(bool(faults.bad))


if __name__ == "__main__":
    main()

"""Faults as figures: what is done to the pack and to a real server, how often, and how often that ended badly.

    python -m benchmarks.faults
    python -m benchmarks.faults --short --results DIR

Prints a table and writes it to benchmarks/results/faults.csv; what was bad is named below the table, and the command
then ends with 1. Models are tiny or the bundled one, on the CPU. `--short` does a few of each in well under a minute,
and kills no server.
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
from ..table import RESULTS, Table
from .bad_inputs import tried as tried_inputs
from .clients import Clients
from .killed import kill_servers
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
OFTEN += ("Save Panorama, png", "MultiDiffusion", "structure of a picture")
MORE_OBJECTS, MORE_MEBIBYTES = 0.05, 0.02  # for each run, that are no growth: caches that are full later than others


class Faults:
    """The table, and what was bad."""

    def __init__(self, amount: Amount, seed: int):
        self.amount, self.seed = amount, seed
        self.table = Table("faults", "what is done", COLUMNS, note=NOTE)
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
    def in_one_process(self, folder: Path) -> None:
        """Faults at random moments, and many runs."""
        start_host()
        from .many_runs import many_runs
        from .moments import KINDS, disturbances
        from .subjects import scene

        stage = scene(folder)
        chosen = [s for s in stage.subjects() if self.amount.subjects is None or s.name in self.amount.subjects]
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        for outcome in disturbances(stage, chosen, self.amount.faults, self.seed):
            counts[outcome.kind] += Counter(_numbers(outcome))
            self.complain(outcome.kind, [f"{outcome.of}: {text}" for text in outcome.complaints])
        for kind, count in counts.items():
            self.table.row(kind, {name: count[name] for name in COLUMNS[:6]})
        often = [subject for subject in chosen if subject.name in OFTEN]
        growth = many_runs(stage, often, self.amount.runs, self.seed)
        grown = growth.objects > MORE_OBJECTS * growth.runs or growth.mebibytes > max(MORE_MEBIBYTES * growth.runs, 8)
        complaints = [f"grew: {growth}"] * (grown or growth.tensors > 0 or growth.files > 0)
        more = {"objects more": growth.objects, "MiB more": growth.mebibytes, "next run differs": growth.differ}
        self.row("runs in one process", growth.runs, complaints, **more)

    def at_a_server(self, folder: Path) -> None:
        """Many clients, bad inputs, strange names."""
        from comfy_server import running_server

        amount = self.amount
        with running_server(folder) as server:
            complaints = Clients(server).queue(amount.prompts, amount.clients, self.seed)
            self.row(f"prompts of {amount.clients} clients, some bad or cancelled", amount.prompts, complaints)
            self.row("wrong inputs", *tried_inputs(server, amount.nodes))
            self.row("file names", *written_names(server, amount.names, self.seed))
            self.row("addresses of files elsewhere", *read_addresses(server, amount.addresses, self.seed))
            self.row("weights that are programs", *weights_that_are_programs(server))
            if amount.browser:
                self.row("captions that are scripts", *texts_that_are_scripts(server))

    def killed(self, folder: Path) -> None:
        """SIGKILL in the middle of runs."""
        kills = kill_servers(folder, self.amount.kills, self.seed)
        self.complain("SIGKILL of the server", [*kills.half_written, *kills.differ])
        files = {"half-written files": len(kills.half_written), "next run differs": len(kills.differ)}
        self.table.row("SIGKILL of the server", {"tried": kills.tried, "ended wrongly": 0, **files})


def _numbers(outcome) -> Iterator[str]:
    """The columns in which an outcome counts."""
    wrong = (outcome.ended, outcome.left, outcome.differs, outcome.half_written, outcome.survived)
    yield COLUMNS[0]
    yield from (column for column, is_so in zip(COLUMNS[1:6], wrong, strict=True) if is_so)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few of each, and no kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    args = parser.parse_args(arguments)
    faults = Faults(SHORT if args.short else LONG, args.seed)
    with tempfile.TemporaryDirectory() as name:
        for part in ("host", "server", "killed"):
            (Path(name) / part).mkdir()
        faults.in_one_process(Path(name) / "host")
        faults.at_a_server(Path(name) / "server")
        if faults.amount.kills:
            faults.killed(Path(name) / "killed")
    faults.table.save(args.results)
    sys.exit(bool(faults.bad))


if __name__ == "__main__":
    main()

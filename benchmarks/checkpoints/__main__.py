"""The table of the papers on a checkpoint of yours. Two commands; both go on where they were stopped.

    python -m benchmarks.checkpoints paint --checkpoint FILE --prompts benchmarks/prompts/places.txt --out DIR
    python -m benchmarks.checkpoints measure --out DIR
    torchrun --nproc-per-node 8 -m benchmarks.checkpoints paint ...     on 8 GPUs; measure likewise

`paint` makes, in the ComfyUI at COMFYUI_PATH, the same panoramas by every method, and single pictures to compare them
with. `measure` looks at them and writes DIR/checkpoint.csv.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from ..table import Table
from .pictures import (
    METHODS,
    NAMES,
    REFERENCE,
    Collection,
    Group,
    Picture,
    Settings,
    keep,
    left_to_paint,
    read_collection,
    read_prompts,
    seeds_of,
)
from .shares import Share, claim_device, wait_for_all
from .weights import WeightParams

DEFAULT = Settings(checkpoint="")
WEIGHTS = WeightParams()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.checkpoints", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    _add_paint(commands.add_parser("paint", help="panoramas by every method, and single pictures"))
    _add_measure(commands.add_parser("measure", help="the table"))
    args = parser.parse_args()
    args.run(args)


def _add_paint(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=paint)
    parser.add_argument("--checkpoint", required=True, help="a file that ComfyUI loads, or demo: the bundled model")
    parser.add_argument("--prompts", type=Path, required=True, help="text file, one prompt a line")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=50, help="panoramas for each method and prompt")
    parser.add_argument("--references", type=int, default=200, help="single pictures for each prompt")
    parser.add_argument("--rows", type=int, default=DEFAULT.rows, help="height, in windows of the model's own size")
    parser.add_argument("--columns", type=int, default=DEFAULT.columns, help="width, likewise")
    parser.add_argument("--overlap", type=float, default=DEFAULT.overlap, help="of neighbouring windows")
    parser.add_argument("--steps", type=int, default=DEFAULT.steps)
    parser.add_argument("--cfg", type=float, default=DEFAULT.cfg)
    parser.add_argument("--sampler", default=DEFAULT.sampler)
    parser.add_argument("--scheduler", default=DEFAULT.scheduler)


def _add_measure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=measure)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--batch", type=int, default=16, help="pictures that the networks look at together")
    parser.add_argument("--clip-model", default=WEIGHTS.clip_model, help="name on the Hugging Face hub, or folder")
    parser.add_argument(
        "--aesthetic-weights", default=WEIGHTS.aesthetic_weights, help="linear layer on CLIP: file or URL"
    )
    parser.add_argument("--inception-weights", help="file of torch-fidelity; left out, it is downloaded")


def paint(args: argparse.Namespace) -> None:
    """The pictures of this process."""
    fields = ("rows", "columns", "overlap", "steps", "cfg", "sampler", "scheduler")
    settings = Settings(checkpoint=Path(args.checkpoint).name, **{name: getattr(args, name) for name in fields})
    seeds: int = args.seeds
    counts = dict.fromkeys(args.methods, seeds) | {REFERENCE: args.references}
    pictures = [
        Picture(Group(method, prompt), seed)
        for method, count in counts.items()  # first, so that every share has as many of the slow ones
        for prompt in read_prompts(args.prompts)
        for seed in seeds_of(method, count)
    ]
    share = Share.of_this_process()
    left = left_to_paint(args.out, share.of(pictures), settings)
    if not left:
        print(f"{share.title}all pictures are there")
        return
    claim_device()
    from .painter import Painter  # starts ComfyUI

    painter = Painter(args.checkpoint, settings)
    for picture in tqdm(left, f"{share.title}painting", unit="picture"):
        keep(args.out, picture, settings, *painter.paint(picture))


def measure(args: argparse.Namespace) -> None:
    """The groups of this process, and the table in the first one."""
    from .measure import measured
    from .networks import Networks
    from .scores import COLUMNS, scores

    collection = read_collection(args.out)
    share, device = Share.of_this_process(), claim_device()
    fields = ("clip_model", "aesthetic_weights", "inception_weights")
    networks = Networks(WeightParams(**{name: getattr(args, name) for name in fields}), device, args.batch)

    for group in tqdm(share.of(list(collection.groups)), f"{share.title}looking", unit="prompt"):
        measured(args.out, group, collection, networks)
    wait_for_all(share)
    if share.rank == 0:
        seen = {group: measured(args.out, group, collection, networks) for group in collection.groups}
        table = Table("checkpoint", "method", COLUMNS, note=_note(collection), device=device)
        for method in dict.fromkeys(group.method for group in seen):
            count = sum(len(painted) for group, painted in collection.groups.items() if group.method == method)
            table.row(NAMES[method], scores(seen, method), count)
        print(f"\n{table.save(args.out)}")


def _note(collection: Collection) -> str:
    settings, prompts = collection.settings, {group.prompt for group in collection.groups}
    return (
        f"{settings.checkpoint}: {len(prompts)} prompts, {settings.rows} x {settings.columns} windows, overlap "
        f"{settings.overlap:g}, {settings.sampler} {settings.scheduler}, {settings.steps} steps, cfg {settings.cfg:g}; "
        "means over the prompts, IS of all pictures together"
    )


if __name__ == "__main__":
    main()
